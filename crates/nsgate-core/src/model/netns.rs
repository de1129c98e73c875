//! How a network namespace is called.

use std::fmt;
use std::str::FromStr;

/// The longest name accepted: the kernel's limit for one path component (NAME_MAX).
const LONGEST: usize = 255;

/// The name of a network namespace as operators write it.
///
/// `host` is the namespace nsgate runs in; a plain word is a name under `/run/netns`; `pid:N` is the namespace of a
/// process, `podman:NAME`, `docker:NAME` and `containerd:NAME` that of a container; anything that begins with `/` is the
/// path of a namespace file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NetnsName(String);

/// What runs containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// Podman.
    Podman,
    /// Docker.
    Docker,
    /// containerd without Docker: Kubernetes, nerdctl.
    Containerd,
}

impl Engine {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Podman, Self::Docker, Self::Containerd];

    /// The word that stands before the colon.
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Containerd => "containerd",
        }
    }
}

/// Why a name was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a name may not be empty")]
    Empty,
    /// The name is longer than the kernel takes.
    #[error("'{name}' is {} bytes long; {limit} is the longest that Linux takes here", name.len())]
    TooLong {
        /// The name as it was given.
        name: String,
        /// The longest length in bytes.
        limit: usize,
    },
    /// The name has a character that cannot stand there.
    #[error("'{name}' holds {character:?}, which cannot stand in such a name")]
    Character {
        /// The name as it was given.
        name: String,
        /// The first refused character.
        character: char,
    },
    /// The name has a meaning of its own.
    #[error("'{0}' is a reserved name")]
    Reserved(String),
    /// `pid:` is not followed by a process number.
    #[error("'{0}' does not name a process: write pid:NUMBER")]
    Process(String),
}

impl NetnsName {
    /// The namespace that nsgate runs in.
    pub fn host() -> Self {
        Self("host".into())
    }

    /// Whether this is the namespace that nsgate runs in.
    pub fn is_host(&self) -> bool {
        self.0 == "host"
    }

    /// The process whose namespace this is, for a name of the form `pid:N`.
    pub fn process(&self) -> Option<u32> {
        self.0.strip_prefix("pid:")?.parse().ok()
    }

    /// The engine and the name or number of the container whose namespace this is, for a name such as `podman:web`.
    pub fn container(&self) -> Option<(Engine, &str)> {
        let (engine, name) = self.0.split_once(':')?;
        Some((Engine::ALL.into_iter().find(|known| known.name() == engine)?, name))
    }

    /// Whether this is a path rather than a name.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }

    /// Whether this is a name under `/run/netns`: such a one can be made and removed.
    pub fn is_plain(&self) -> bool {
        // Neither names under /run/netns nor those of files in general hold a colon.
        !self.is_host() && !self.is_path() && !self.0.contains(':')
    }

    /// Whether somebody chose this name under `/run/netns`: engines end the ones that they make up with a UUID.
    pub fn is_chosen(&self) -> bool {
        const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
        let groups: Vec<&str> = self.0.rsplit('-').take(GROUPS.len()).collect();
        let lengths = groups.iter().rev().map(|group| group.len());
        let digits = groups.iter().all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()));
        self.is_plain() && !(lengths.eq(GROUPS) && digits)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NetnsName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if let Some(process) = name.strip_prefix("pid:") {
            return match process.parse::<u32>() {
                Ok(1..) => Ok(Self(name.into())),
                _ => Err(NameError::Process(name.into())),
            };
        }
        let container = |engine: &Engine| name.strip_prefix(engine.name())?.strip_prefix(':');
        if let Some(container) = Engine::ALL.iter().find_map(container) {
            check_component(container, LONGEST)?;
            return Ok(Self(name.into()));
        }
        if name.starts_with('/') {
            return match name.chars().find(|c| c.is_control()) {
                Some(character) => Err(NameError::Character { name: name.into(), character }),
                None => Ok(Self(name.into())),
            };
        }
        check_component(name, LONGEST)?;
        Ok(Self(name.into()))
    }
}

/// Checks that `name` can be one component of a path and one word of a command line.
pub(super) fn check_component(name: &str, limit: usize) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name == "." || name == ".." {
        return Err(NameError::Reserved(name.into()));
    }
    if name.len() > limit {
        return Err(NameError::TooLong { name: name.into(), limit });
    }
    match name.chars().find(|&c| c == '/' || c == ':' || c.is_whitespace() || c.is_control()) {
        Some(character) => Err(NameError::Character { name: name.into(), character }),
        None => Ok(()),
    }
}

impl fmt::Display for NetnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> NameError {
        name.parse::<NetnsName>().unwrap_err()
    }

    #[test]
    fn names_of_every_form() {
        for (name, plain) in [("ns_1", true), ("host", false), ("pid:7", false), ("/proc/7/ns/net", false)] {
            assert_eq!(name.parse::<NetnsName>().unwrap().is_plain(), plain, "{name}");
        }
        assert_eq!("pid:7".parse::<NetnsName>().unwrap().process(), Some(7));
        let container = "podman:web-1".parse::<NetnsName>().unwrap();
        assert_eq!((container.container(), container.is_plain()), (Some((Engine::Podman, "web-1")), false));
        assert_eq!("pid:7".parse::<NetnsName>().unwrap().container(), None);
    }

    #[test]
    fn names_that_could_leave_their_directory_are_refused() {
        assert_eq!(refused(""), NameError::Empty);
        assert_eq!(refused(".."), NameError::Reserved("..".into()));
        assert!(matches!(refused("a/b"), NameError::Character { character: '/', .. }));
        assert!(matches!(refused("docker:../x"), NameError::Character { character: '/', .. }));
        assert_eq!(refused("podman:"), NameError::Empty);
        assert!(matches!(refused("rkt:x"), NameError::Character { character: ':', .. }));
        assert!(matches!(refused("a b"), NameError::Character { character: ' ', .. }));
        assert!(matches!(refused(&"x".repeat(256)), NameError::TooLong { limit: 255, .. }));
        assert!(matches!(refused("pid:0"), NameError::Process(_)));
        assert!(matches!(refused("pid:x"), NameError::Process(_)));
    }
}
