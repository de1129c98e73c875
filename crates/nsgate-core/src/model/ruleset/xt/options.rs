//! Parameters of extensions that nft has no statements for, as iptables spells them.

use super::super::{Expression, TableFamily};
use super::frames;
use super::spell::spelled;

/// The parameters of an extension in a table of this family, where they are known; `ipv6` says whether only IPv6 comes
/// there.
pub(crate) fn options(family: TableFamily, ipv6: bool, expression: &Expression) -> Option<String> {
    let of_frames = match expression {
        Expression::XtMatch { name, .. } | Expression::XtTarget { name, .. } => frames::is_own(name),
        _ => false,
    };
    let other_meaning = of_frames && family == TableFamily::Bridge;
    spelled(expression, ipv6).map(|spelled| spelled.words).filter(|words| !words.is_empty() && !other_meaning)
}
