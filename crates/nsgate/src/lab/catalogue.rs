//! The labs that are compiled in.

use anyhow::{Context, Result};

use super::Lab;

/// Every lab's name and file; the first is the one that runs when none is named.
pub(crate) const LABS: [(&str, &str); 4] = [
    ("article", include_str!("../../labs/article.toml")),
    ("dnat", include_str!("../../labs/dnat.toml")),
    ("router", include_str!("../../labs/router.toml")),
    ("ipv6", include_str!("../../labs/ipv6.toml")),
];

/// The lab of this name, or the first that shows the cause of this code; none if there is neither.
pub(crate) fn find(wanted: &str) -> Result<Option<(&'static str, Lab)>> {
    let read = |(name, text): (&'static str, &str)| -> Result<(&'static str, Lab)> {
        Ok((name, text.parse().with_context(|| format!("the lab {name}"))?))
    };
    if let Some(named) = LABS.into_iter().find(|(name, _)| *name == wanted) {
        return read(named).map(Some);
    }
    for lab in LABS {
        let (name, lab) = read(lab)?;
        if lab.codes.iter().any(|code| code == wanted) {
            return Ok(Some((name, lab)));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lab_is_well_formed() {
        for (name, text) in LABS {
            let lab = text.parse::<Lab>().unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(!lab.steps.is_empty() && !lab.mends.is_empty(), "{name}");
            assert!(lab.picture.lines().all(|line| line.chars().count() <= 80), "{name}");
            assert!(lab.title.len() <= 60 && lab.summary.len() <= 160, "{name}");
        }
    }

    #[test]
    fn a_lab_is_found_by_name_and_by_cause() {
        let found = |wanted: &str| find(wanted).unwrap().map(|(name, _)| name);
        assert_eq!(found("router"), Some("router"));
        assert_eq!(found("forwarding-disabled"), Some("article"));
        assert_eq!(found("nothing"), None);
    }
}
