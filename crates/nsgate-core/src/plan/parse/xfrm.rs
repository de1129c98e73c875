//! `ip xfrm policy …` and `conntrack -D …`.

use nsgate_packet::Flow;

use super::cursor::{Cursor, ParseError};
use crate::model::{XfrmDirection, XfrmMode, XfrmTemplate};
use crate::plan::step::{Action, Change};
use crate::plan::xfrm::NewPolicy;

/// What follows `ip xfrm policy add` or its like.
pub(super) fn policy(words: &mut Cursor<'_>, change: Change) -> Result<Action, ParseError> {
    words.expect("src")?;
    let source = words.net("a network", None)?.trunc();
    words.expect("dst")?;
    let destination = words.net("a network", None)?.trunc();
    if source.addr().is_ipv4() != destination.addr().is_ipv4() {
        return Err(words.unexpected("a network of the same family"));
    }
    words.expect("dir")?;
    let word = words.take("in, out or fwd")?;
    let direction = XfrmDirection::ALL.into_iter().find(|direction| direction.name() == word);
    let Some(direction) = direction else { return Err(words.unexpected("in, out or fwd")) };
    let mut policy = NewPolicy { source, destination, direction, priority: 0, refuses: false, templates: Vec::new() };
    if change == Change::Delete {
        return Ok(Action::Policy(change, policy));
    }
    while let Some(word) = words.next() {
        match word {
            "priority" => policy.priority = words.number("a priority")?,
            "action" => policy.refuses = one_of(words, "allow or block", &[("allow", false), ("block", true)])?,
            "tmpl" => policy.templates.push(template(words)?),
            _ => return Err(words.unexpected("priority, action or tmpl")),
        }
    }
    Ok(Action::Policy(change, policy))
}

fn template(words: &mut Cursor<'_>) -> Result<XfrmTemplate, ParseError> {
    let source = if words.eat("src") { Some(words.address("the near end of the tunnel")?) } else { None };
    let destination = if words.eat("dst") { Some(words.address("the far end of the tunnel")?) } else { None };
    words.expect("proto")?;
    let protocol = one_of(words, "esp, ah or comp", &[("esp", 50), ("ah", 51), ("comp", 108)])?;
    let spi = if words.eat("spi") { words.number("a security parameter index")? } else { 0 };
    let request = if words.eat("reqid") { words.number("a number")? } else { 0 };
    words.expect("mode")?;
    let modes = [("transport", XfrmMode::Transport), ("tunnel", XfrmMode::Tunnel)];
    let mode = one_of(words, "transport or tunnel", &modes)?;
    let levels = [("required", false), ("use", true)];
    let optional = words.eat("level") && one_of(words, "required or use", &levels)?;
    Ok(XfrmTemplate { protocol, mode, source, destination, request, spi, optional })
}

fn one_of<T: Copy>(words: &mut Cursor<'_>, expected: &str, known: &[(&str, T)]) -> Result<T, ParseError> {
    let word = words.take(expected)?;
    let found = known.iter().find(|(name, _)| *name == word);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| words.unexpected(expected))
}

/// What follows `conntrack`.
pub(super) fn connection(words: &mut Cursor<'_>) -> Result<Action, ParseError> {
    if !matches!(words.take("-D")?, "-D" | "--delete") {
        return Err(words.unexpected("-D"));
    }
    if words.eat("-f") {
        words.take("ipv4 or ipv6")?;
    }
    if words.eat("--orig-src") {
        return Ok(Action::ForgetFrom(words.address("who opened the connections")?));
    }
    words.expect("-p")?;
    let protocol = one_of(words, "tcp or udp", &[("tcp", 6), ("udp", 17)])?;
    words.expect("--orig-src")?;
    let source = words.address("the source of the flow")?;
    words.expect("--orig-dst")?;
    let destination = words.address("the destination of the flow")?;
    if source.is_ipv4() != destination.is_ipv4() {
        return Err(words.unexpected("an address of the same family"));
    }
    words.expect("--sport")?;
    let source_port = words.number("a port")?;
    words.expect("--dport")?;
    let destination_port = words.number("a port")?;
    Ok(Action::Forget(Flow { protocol, source, destination, source_port, destination_port }))
}
