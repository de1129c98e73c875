//! The repository that this program was built from: its root, its files, its binaries.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A text file of the repository.
pub(crate) struct SourceFile {
    /// Its path from the root, with slashes.
    pub(crate) path: String,
    /// What it holds.
    pub(crate) text: String,
}

/// The folder that holds the root manifest.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_path_buf()
}

/// Every Rust file below `crates` and `xtask`, sorted by path.
pub(crate) fn rust_files() -> Result<Vec<SourceFile>> {
    let root = root();
    let mut found = Vec::new();
    for folder in ["crates", "xtask"] {
        collect(&root, &root.join(folder), &mut found)?;
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Builds `nsgate` for release and says where it lies.
pub(crate) fn build_release() -> Result<PathBuf> {
    let status =
        Command::new(env!("CARGO")).current_dir(root()).args(["build", "--release", "-p", "nsgate"]).status()?;
    ensure!(status.success(), "cargo build --release failed");
    Ok(target()?.join("release/nsgate"))
}

/// Cargo's target folder.
fn target() -> Result<PathBuf> {
    let metadata = metadata(&["--no-deps"])?;
    Ok(PathBuf::from(metadata["target_directory"].as_str().context("cargo metadata names no target directory")?))
}

/// What `cargo metadata` says of the workspace.
pub(crate) fn metadata(arguments: &[&str]) -> Result<serde_json::Value> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--format-version", "1"])
        .args(arguments)
        .output()
        .context("cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn collect(root: &Path, folder: &Path, found: &mut Vec<SourceFile>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_none_or(|name| name != "target") {
                collect(root, &path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let path = path.strip_prefix(root)?.to_string_lossy().into_owned();
            found.push(SourceFile { path, text });
        }
    }
    Ok(())
}
