//! What the kernel refused, in words: the operation, the object, the error number and the kernel's own explanation.

use std::borrow::Cow;

use rustix::io::Errno;

/// Why something could not be done or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel said no.
    #[error("cannot {operation} {object}: {}", refusal(*errno, extack.as_deref()))]
    Refused {
        /// What was to be done: a verb, such as `add route`.
        operation: Cow<'static, str>,
        /// To what: `0.0.0.0/0 via 10.0.0.1`, `net.ipv4.ip_forward`.
        object: String,
        /// The error number.
        errno: Errno,
        /// The kernel's extended error text, where it gave one.
        extack: Option<String>,
    },
    /// The kernel answered, but not in a way that can be understood, or its answer was lost.
    #[error("cannot {operation} {object}: {why}")]
    Answer {
        /// What was to be done: a verb.
        operation: Cow<'static, str>,
        /// To what.
        object: String,
        /// What is wrong with the answer.
        why: Cow<'static, str>,
    },
    /// Something cannot be done, and the reason is known better than an error number tells.
    #[error("cannot {operation} {object}: {why}")]
    Explained {
        /// What sort of failure it is.
        kind: Kind,
        /// What was to be done: a verb.
        operation: Cow<'static, str>,
        /// To what.
        object: String,
        /// The reason, and the mend where one is known.
        why: Cow<'static, str>,
    },
}

/// What sort of failure it is; exit codes and hints depend on this alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A capability is missing.
    NotPermitted,
    /// The kernel lacks the feature.
    MissingFeature,
    /// The object does not exist.
    NotFound,
    /// An object of that name or content exists already.
    Exists,
    /// Refused for another reason.
    Refused,
}

impl Error {
    /// An error of a system call.
    pub fn new(operation: impl Into<Cow<'static, str>>, object: impl Into<String>, errno: Errno) -> Self {
        Self::Refused { operation: operation.into(), object: object.into(), errno, extack: None }
    }

    /// An answer that cannot be used.
    pub fn answer(
        operation: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Answer { operation: operation.into(), object: object.into(), why: why.into() }
    }

    /// A failure whose reason is known.
    pub fn explained(
        kind: Kind,
        operation: impl Into<Cow<'static, str>>,
        object: impl Into<String>,
        why: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::Explained { kind, operation: operation.into(), object: object.into(), why: why.into() }
    }

    /// What it was about.
    pub fn object(&self) -> &str {
        match self {
            Self::Refused { object, .. } | Self::Answer { object, .. } | Self::Explained { object, .. } => object,
        }
    }

    /// What sort of failure this is.
    pub fn kind(&self) -> Kind {
        if let Self::Explained { kind, .. } = self {
            return *kind;
        }
        match self.errno() {
            Some(Errno::PERM | Errno::ACCESS) => Kind::NotPermitted,
            Some(Errno::OPNOTSUPP | Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::NOPROTOOPT | Errno::NOSYS) => {
                Kind::MissingFeature
            }
            Some(Errno::NOENT | Errno::NODEV | Errno::NXIO | Errno::SRCH | Errno::ADDRNOTAVAIL) => Kind::NotFound,
            Some(Errno::EXIST) => Kind::Exists,
            _ => Kind::Refused,
        }
    }

    /// The error number, if the kernel gave one.
    pub fn errno(&self) -> Option<Errno> {
        match self {
            Self::Refused { errno, .. } => Some(*errno),
            Self::Answer { .. } | Self::Explained { .. } => None,
        }
    }
}

/// The kernel's explanation if there is one, with what the number means behind it.
fn refusal(errno: Errno, extack: Option<&str>) -> String {
    let meaning = meaning(errno);
    match extack {
        Some(text) => format!("{} ({meaning})", text.trim_end_matches(['.', '\n'])),
        None => meaning,
    }
}

/// The meaning of an error number, without the number.
pub(crate) fn meaning(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    match text.rfind(" (os error") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_sentence() {
        let plain = Error::new("open", "/run/netns/blue", Errno::NOENT);
        assert_eq!(plain.to_string(), "cannot open /run/netns/blue: No such file or directory");
        let told = Error::Refused {
            operation: "add route".into(),
            object: "default via 10.0.0.1".into(),
            errno: Errno::NETUNREACH,
            extack: Some("Nexthop has invalid gateway".into()),
        };
        assert_eq!(
            told.to_string(),
            "cannot add route default via 10.0.0.1: Nexthop has invalid gateway (Network is unreachable)"
        );
    }

    #[test]
    fn kinds() {
        assert_eq!(Error::new("add", "x", Errno::PERM).kind(), Kind::NotPermitted);
        assert_eq!(Error::new("add", "x", Errno::OPNOTSUPP).kind(), Kind::MissingFeature);
        assert_eq!(Error::new("add", "x", Errno::NODEV).kind(), Kind::NotFound);
        assert_eq!(Error::new("add", "x", Errno::EXIST).kind(), Kind::Exists);
        assert_eq!(Error::answer("read", "x", "cut short").kind(), Kind::Refused);
    }
}
