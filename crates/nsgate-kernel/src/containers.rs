//! Containers, by what their engines leave in files: their names, and the process whose namespaces are theirs.
//!
//! No engine is asked and no socket opened. Only files of a bounded length are read, names and numbers in them are
//! checked, and a file that was written before the process of its number began is not believed.

use std::env;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use nsgate_core::model::{Engine, Limit, NetnsName};
use serde_json::Value;

use crate::processes::is_named_by;
use crate::{Error, Kind};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 16 << 20;
/// How many containers are looked at.
const MOST: usize = 10_000;

/// One running container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// What it is called, such as `podman:web`; its number where it has no name.
    pub name: NetnsName,
    /// Its number, in hexadecimal digits.
    pub id: String,
    /// Its first process.
    pub pid: u32,
}

/// All running containers whose files this process may read.
pub fn running() -> Vec<Container> {
    Places::of_this_machine().running()
}

/// The engines whose files this process may not read.
pub(crate) fn limits() -> Vec<Limit> {
    let places = Places::of_this_machine();
    let refused = |engine: Engine| {
        let why = places.refused(engine)?;
        Some(Limit { netns: None, what: format!("the names of containers of {}", engine.name()), why })
    };
    Engine::ALL.into_iter().filter_map(refused).collect()
}

/// The first process of the container that a name means; its number's first digits do as well.
pub fn process_of(name: &NetnsName) -> Result<u32, Error> {
    Places::of_this_machine().process_of(name)
}

/// Where engines leave their files.
#[derive(Debug, Default)]
struct Places {
    /// Podman: what lasts, and what ends with the machine.
    podman: Vec<(PathBuf, PathBuf)>,
    docker: PathBuf,
    containerd: PathBuf,
}

impl Places {
    /// Where they are unless somebody has moved them: the machine's own, and Podman's of the calling user.
    fn of_this_machine() -> Self {
        let mut podman = vec![("/var/lib/containers/storage".into(), "/run/containers/storage".into())];
        let of_user = |variable, below: &str| env::var_os(variable).map(|folder| PathBuf::from(folder).join(below));
        let lasting = of_user("XDG_DATA_HOME", "containers/storage")
            .or_else(|| of_user("HOME", ".local/share/containers/storage"));
        podman.extend(lasting.zip(of_user("XDG_RUNTIME_DIR", "containers")));
        Self {
            podman,
            docker: "/var/lib/docker/containers".into(),
            containerd: "/run/containerd/io.containerd.runtime.v2.task".into(),
        }
    }

    fn running(&self) -> Vec<Container> {
        let mut found: Vec<Container> =
            self.podman.iter().flat_map(|(lasting, running)| podman(lasting, running)).collect();
        found.extend(docker(&self.docker));
        found.extend(containerd(&self.containerd));
        found
    }

    fn process_of(&self, name: &NetnsName) -> Result<u32, Error> {
        let failed = |kind, why: String| Error::explained(kind, "find container", name.as_str(), why);
        let Some((engine, wanted)) = name.container() else {
            return Err(failed(Kind::NotFound, "this does not name a container".into()));
        };
        let running = self.running();
        let of_engine = |container: &&Container| container.name.container().is_some_and(|(by, _)| by == engine);
        let mut fitting = running.iter().filter(of_engine).filter(|container| {
            let whole = container.name == *name;
            whole || (wanted.len() >= SHORTEST_NUMBER && container.id.starts_with(wanted))
        });
        if let Some(container) = fitting.next() {
            return Ok(container.pid);
        }
        if let Some(why) = self.refused(engine) {
            return Err(failed(Kind::NotPermitted, why));
        }
        let names: Vec<&str> = running.iter().filter(of_engine).map(|container| container.name.as_str()).collect();
        Err(failed(
            Kind::NotFound,
            match &names[..] {
                [] => format!("no container of {} is running here", engine.name()),
                some => format!("it is not running here; there are {}", some.join(", ")),
            },
        ))
    }

    /// Why what an engine leaves may not be read, if so.
    fn refused(&self, engine: Engine) -> Option<String> {
        let refuses =
            |folder: &&Path| fs::read_dir(folder).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied);
        let folder = self.folders(engine).into_iter().find(refuses)?;
        Some(format!("{} may not be read; run as root", folder.display()))
    }

    /// The folders that an engine's containers are found in.
    fn folders(&self, engine: Engine) -> Vec<&Path> {
        match engine {
            Engine::Podman => self.podman.iter().flat_map(|(a, b)| [a.as_path(), b.as_path()]).collect(),
            Engine::Docker => vec![&self.docker],
            Engine::Containerd => vec![&self.containerd],
        }
    }
}

/// As many digits of a container's number as engines show at the least.
const SHORTEST_NUMBER: usize = 12;

/// Podman keeps lists of containers beside their layers, and each one's process number in its own folder of what runs.
fn podman(lasting: &Path, running: &Path) -> Vec<Container> {
    let mut found = Vec::new();
    for store in [lasting, running] {
        // Named after the storage driver: `overlay-containers`, `vfs-containers`.
        for folder in folders(store).into_iter().filter(|folder| folder.to_string_lossy().ends_with("-containers")) {
            let Some(folder_name) = folder.file_name() else { continue };
            for list in ["containers.json", "volatile-containers.json"] {
                let list = json(&folder.join(list));
                for about in list.as_ref().and_then(Value::as_array).into_iter().flatten().take(MOST) {
                    let Some(id) = about["id"].as_str().filter(|id| is_number(id)) else { continue };
                    let pid = running.join(folder_name).join(id).join("userdata/pidfile");
                    found.extend(container(Engine::Podman, about["names"][0].as_str(), id, pid_in(&pid)));
                }
            }
        }
    }
    found
}

/// Docker describes each container in a folder of its own.
fn docker(place: &Path) -> Vec<Container> {
    let describe = |folder: PathBuf| {
        let file = folder.join("config.v2.json");
        let about = json(&file)?;
        let id = about["ID"].as_str().filter(|id| is_number(id))?;
        let pid = about["State"]["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0);
        let name = about["Name"].as_str().map(|name| name.trim_start_matches('/'));
        container(Engine::Docker, name, id, pid.filter(|pid| is_named_by(*pid, &file)))
    };
    folders(place).into_iter().filter_map(describe).collect()
}

/// containerd has a folder for each of its own namespaces, and in it one for each container. Docker's are there, too,
/// under names that say nothing.
fn containerd(place: &Path) -> Vec<Container> {
    let describe = |folder: PathBuf| {
        let id = folder.file_name()?.to_str()?.to_owned();
        let pid = pid_in(&folder.join("init.pid"))?;
        let about = json(&folder.join("config.json")).unwrap_or_default();
        let notes = &about["annotations"];
        let name = notes["nerdctl/name"].as_str().or_else(|| notes["io.kubernetes.cri.sandbox-name"].as_str());
        container(Engine::Containerd, name, &id, Some(pid))
    };
    let spaces = folders(place).into_iter().filter(|space| space.file_name().is_none_or(|name| name != "moby"));
    spaces.flat_map(|space| folders(&space)).filter_map(describe).collect()
}

/// A container of this name, or of its number where no name fits; none without a process.
fn container(engine: Engine, name: Option<&str>, id: &str, pid: Option<u32>) -> Option<Container> {
    let called = |name: &str| format!("{}:{name}", engine.name()).parse().ok();
    Some(Container { name: name.and_then(called).or_else(|| called(id))?, id: id.to_owned(), pid: pid? })
}

/// The process that a file names, if it was named by that file.
fn pid_in(file: &Path) -> Option<u32> {
    let text = read(file)?;
    let pid = std::str::from_utf8(&text).ok()?.trim().parse().ok()?;
    is_named_by(pid, file).then_some(pid)
}

/// Whether a text is a container's number: it becomes part of a path.
fn is_number(text: &str) -> bool {
    (SHORTEST_NUMBER..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The folders in a folder, in order.
fn folders(place: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let mut folders: Vec<PathBuf> =
        entries.flatten().take(MOST).map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

fn json(file: &Path) -> Option<Value> {
    serde_json::from_slice(&read(file)?).ok()
}

/// A whole file of a bounded length.
fn read(file: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)).ok()?;
    (bytes.len() as u64 <= LONGEST).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::sandbox::test;

    const WEB: &str = "3f2a5c0d9e8b7a6f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a090807";
    const POD: &str = "aa2a5c0d9e8b7a6f5e4d3c2b1a09f8e7d6c5b4a39281706f5e4d3c2b1a090807";

    fn put(path: &str, text: &str) {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn places() -> Places {
        Places {
            podman: vec![("/run/p/lasting".into(), "/run/p/running".into())],
            docker: "/run/d".into(),
            containerd: "/run/c".into(),
        }
    }

    fn found(name: &str) -> Result<u32, String> {
        places().process_of(&name.parse().unwrap()).map_err(|error| error.to_string())
    }

    /// The files of one container of each engine, all of this very process.
    fn build() {
        let own = std::process::id();
        put(
            "/run/p/lasting/overlay-containers/volatile-containers.json",
            &format!(r#"[{{"id":"{WEB}","names":["web"]}}]"#),
        );
        put(&format!("/run/p/running/overlay-containers/{WEB}/userdata/pidfile"), &own.to_string());
        let state = format!(r#"{{"ID":"{WEB}","Name":"/db","State":{{"Running":true,"Pid":{own}}}}}"#);
        put(&format!("/run/d/{WEB}/config.v2.json"), &state);
        let notes = r#"{"annotations":{"io.kubernetes.cri.sandbox-name":"coredns-1"}}"#;
        put(&format!("/run/c/k8s.io/{POD}/config.json"), notes);
        put(&format!("/run/c/k8s.io/{POD}/init.pid"), &format!("{own}\n"));
        put(&format!("/run/c/moby/{WEB}/init.pid"), &own.to_string());
    }

    #[test]
    fn containers_of_every_engine_are_found_by_name_and_number() {
        test(|| {
            build();
            let own = std::process::id();
            let names: Vec<String> = places().running().iter().map(|found| found.name.to_string()).collect();
            assert_eq!(names, ["podman:web", "docker:db", "containerd:coredns-1"]);
            for name in ["podman:web", "docker:db", "containerd:coredns-1", &format!("podman:{}", &WEB[..12])] {
                assert_eq!(found(name), Ok(own), "{name}");
            }
            assert!(found("docker:web").unwrap_err().ends_with("it is not running here; there are docker:db"));
            assert!(found(&format!("podman:{}", &WEB[..4])).is_err());
        });
    }

    #[test]
    fn engines_whose_files_may_not_be_read_are_told() {
        use std::os::unix::fs::PermissionsExt as _;

        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

        test(|| {
            assert_eq!(places().refused(Engine::Docker), None, "what is not there hides nothing");
            build();
            fs::set_permissions("/run/d", fs::Permissions::from_mode(0o000)).unwrap();
            let mut powers = capabilities(None).unwrap();
            powers.effective.remove(CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH);
            set_capabilities(None, powers).unwrap();
            assert_eq!(places().refused(Engine::Docker).as_deref(), Some("/run/d may not be read; run as root"));
            assert_eq!(places().refused(Engine::Podman), None);
            assert!(found("docker:db").unwrap_err().ends_with("/run/d may not be read; run as root"));
        });
    }

    #[test]
    fn files_that_are_hostile_or_left_over_name_nothing() {
        test(|| {
            build();
            let pidfile = format!("/run/p/running/overlay-containers/{WEB}/userdata/pidfile");
            let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
            File::options().write(true).open(&pidfile).unwrap().set_modified(old).unwrap();
            assert!(found("podman:web").unwrap_err().ends_with("no container of podman is running here"));
            fs::remove_file(&pidfile).unwrap();
            assert!(found("podman:web").is_err());
            for list in
                ["", "{}", "[1, null, {\"id\": 7}]", "[{\"id\": \"../../../../etc\", \"names\": [\"web\"]}]", "[[[["]
            {
                put("/run/p/lasting/overlay-containers/containers.json", list);
                assert!(found("podman:web").is_err(), "{list}");
            }
            for state in ["{}", r#"{"ID":"x","State":{"Pid":1}}"#, r#"{"State":{"Pid":-1}}"#, r#"{"State":[]}"#] {
                put(&format!("/run/d/{WEB}/config.v2.json"), state);
                assert!(found("docker:db").is_err(), "{state}");
            }
        });
    }
}
