//! How an answer gets into a file.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::anyhow;

use crate::exit::{Failure, FailureKind};

/// Puts a file in place at once and whole, for its owner alone: answers tell the wiring of the machine.
pub(crate) fn put(path: &Path, write: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Failure> {
    put_called(path, path, write)
}

/// The same with a file that whoever reads a refusal knows by another path.
pub(crate) fn put_called(
    called: &Path,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<()>,
) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        Failure::new(FailureKind::Environment, anyhow!(error).context(format!("cannot write {}", called.display())))
    };
    if fs::symlink_metadata(path).is_ok_and(|there| !there.is_file()) {
        let error = anyhow!("{} is there and not a plain file", called.display());
        return Err(Failure::new(FailureKind::Usage, error));
    }
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(format!(".{}", std::process::id()));
    let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished).and_then(|mut file| {
        let put = write(&mut file).and_then(|()| file.sync_all());
        let put = put.and_then(|()| fs::rename(&unfinished, path));
        if put.is_err() {
            // The file was made a moment ago by this very function.
            let _ = fs::remove_file(&unfinished);
        }
        put
    });
    written.map_err(failed)
}
