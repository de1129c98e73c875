//! `rule-policy`: a routing-policy rule, or the lack of one, sends the packet to a table that loses it.

use super::passage::Passage;
use super::turn::{Turn, turns};
use super::{Cause, Evidence, EvidenceKind, Loss, Place, Stage, Verdict, evidence, mend};
use crate::model::lookup::{Answer, Query, look_up};
use crate::model::{Family, Namespace, Route, Rule, RuleAction, TABLE_DEFAULT, TABLE_LOCAL, TABLE_MAIN};
use crate::trace::Leg;

/// The priority of the rule for the main table.
const TABLE_RULES: u32 = 32766;

/// A rule of the operator's own led the packet astray, or the rule for the main table is gone.
pub(super) fn misled(loss: &Loss<'_>) -> Option<Verdict> {
    at_the_end(loss).or_else(|| on_the_way(loss)).or_else(|| without_main(loss))
}

/// The rule that decided where the packet was lost.
pub(super) fn at_the_end(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) || loss.arrived() {
        return None;
    }
    let route = match Passage::of(loss).and_then(|p| p.route) {
        Some(route) => route,
        None => loss.route(),
    };
    let (Answer::Ruled(rule) | Answer::Blocked { rule, .. }) = route else { return None };
    is_own(rule).then(|| verdict(loss.netns, rule, "refuses the packet"))
}

/// The rule that sent the packet another way than the main table would have, after which it was lost.
fn on_the_way(loss: &Loss<'_>) -> Option<Verdict> {
    if loss.arrived() {
        return None;
    }
    let turns = turns(loss.world, &loss.observation.journey, loss.leg);
    turns.iter().find_map(leads_astray)
}

/// The rule that sent the packet on from here another way than the main table would have.
pub(super) fn leads_astray(turn: &Turn<'_>) -> Option<Verdict> {
    let left = turn.left?;
    let Answer::Found { rule, .. } = turn.route()? else { return None };
    let plain =
        Namespace { rules: turn.netns.rules.iter().filter(|r| !is_own(r)).cloned().collect(), ..turn.netns.clone() };
    let query = Query {
        entered: turn.entered.map(|s| s.link),
        ..Query::from_here(Some(turn.entered.unwrap_or(left).header.source), left.header.destination)
    };
    let by_main = look_up(&plain, &query);
    if !is_own(rule) || by_main.link().is_none() || by_main.link() == Some(left.link) {
        return None;
    }
    let verdict = verdict(turn.netns, rule, "leads the packet where it is lost");
    // What the rule is made for stays with it: what the main table has a way of its own for need not meet it.
    let near = by_main.route().filter(|route| route.destination.prefix_len() > 0);
    let before = rule.priority.checked_sub(1).filter(|before| free(turn.netns, rule.family, *before));
    Some(match near.zip(before) {
        Some((route, before)) => verdict
            .mended_by(mend::main_rule_for(turn.netns, route.destination, before))
            .advised("Other networks behind this machine may need such a rule, too."),
        None => verdict,
    })
}

/// Whether no rule has this priority.
fn free(netns: &Namespace, family: Family, priority: u32) -> bool {
    priority > 0 && !netns.rules.iter().any(|rule| rule.family == family && rule.priority == priority)
}

/// The answer leaves by another uplink than the request came by, although a table is there that leads back: the rule is gone
/// that leads what bears this source to it. Whoever stands on that other way may refuse it.
pub(super) fn without_rule_of_source(loss: &Loss<'_>) -> Option<Verdict> {
    let asked = loss.observation.journey.furthest(Leg::Request)?;
    let maker = turns(loss.world, &loss.observation.journey, Leg::Answer).into_iter().next()?;
    let (left, netns) = (maker.left?, maker.netns);
    let (source, to) = (left.header.source, left.header.destination);
    let holder = netns.holder(source)?;
    let is_maker = maker.entered.is_none() && asked.netns == netns.name && asked.header.destination == source;
    if loss.leg != Leg::Answer || !is_maker || *loss.here() == netns.name || holder.index == left.link {
        return None;
    }
    let Answer::Found { rule, .. } = maker.route()? else { return None };
    let family = Family::of(source);
    let leads_back = |route: &&Route| {
        !matches!(route.table, TABLE_LOCAL | TABLE_MAIN | TABLE_DEFAULT)
            && route.destination.contains(&to)
            && route.next_hops.iter().any(|hop| hop.link == Some(holder.index) && hop.gateway.is_some())
    };
    let table = netns.routes.iter().find(leads_back).filter(|_| !is_own(rule))?.table;
    let priority = (1..TABLE_RULES).rev().find(|priority| free(netns, family, *priority))?;
    let plan = mend::rule_of_source(netns, source, table, priority);
    let (name, by) = (&netns.name, netns.link(left.link)?);
    let object = format!("rule from {source} lookup {table} (missing)");
    let summary = format!(
        "{name} answers as {source}, an address of {}, by {}: no rule leads it to table {table}, which leads back by {}",
        holder.name, by.name, holder.name
    );
    Some(
        Verdict::new(Cause::RulePolicy, Place::all_of(name), object, summary)
            .shown_by(evidence::seen(loss.world, left, ""))
            .shown_by(
                Evidence::new(EvidenceKind::Rule, name, format!("'{}' decides where it goes", text(rule)))
                    .differs(format!("from {source} lookup {table}"), "no such rule"),
            )
            .mended_by(plan)
            .advised("systemd-networkd takes away rules that it did not make (ManageForeignRoutingPolicyRules=no keeps them)."),
    )
}

/// No rule leads to the main table, which knows a way.
fn without_main(loss: &Loss<'_>) -> Option<Verdict> {
    if matches!(loss.stage, Stage::Left(_)) || loss.route() != Answer::Missing {
        return None;
    }
    let family = loss.family();
    let leads = |r: &&Rule| r.family == family && r.action == RuleAction::Table(TABLE_MAIN);
    let knows = loss.netns.routes.iter().any(|r| r.table == TABLE_MAIN && r.destination.contains(&loss.destination));
    if loss.netns.rules.iter().any(|r| leads(&r)) || !knows {
        return None;
    }
    let summary =
        format!("no rule of {} leads to the main table, which has a route to {}", loss.here(), loss.destination);
    Some(
        Verdict::new(
            Cause::RulePolicy,
            Place::all_of(loss.here()),
            "rule 32766: from all lookup main (missing)",
            summary,
        )
        .shown_by(
            Evidence::new(EvidenceKind::Rule, loss.here(), "no rule looks up the main table")
                .differs("32766: from all lookup main", "none"),
        )
        .mended_by(mend::main_rule(loss.netns, family)),
    )
}

fn verdict(netns: &Namespace, rule: &Rule, does: &str) -> Verdict {
    let text = text(rule);
    let summary = format!("the policy rule '{text}' of {} {does}", netns.name);
    Verdict::new(Cause::RulePolicy, Place::all_of(&netns.name), text.clone(), summary)
        .shown_by(Evidence::new(EvidenceKind::Rule, &netns.name, text))
        .mended_by(mend::delete_policy_rule(netns, rule))
        .advised("Somebody may have put the rule there on purpose; ask before you take it away.")
}

/// Whether a rule is none of the three that every namespace begins with.
fn is_own(rule: &Rule) -> bool {
    let plain = matches!(rule.action, RuleAction::Table(TABLE_LOCAL | TABLE_MAIN | TABLE_DEFAULT));
    !plain && !rule.vrf
}

/// A rule as `ip rule` shows it.
fn text(rule: &Rule) -> String {
    let from = rule.from.map_or("all".to_string(), |n| n.to_string());
    let to = rule.to.map(|n| format!(" to {n}")).unwrap_or_default();
    let iif = rule.iif.as_ref().map(|l| format!(" iif {l}")).unwrap_or_default();
    let mark = rule.mark.map(|(m, _)| format!(" fwmark {m:#x}")).unwrap_or_default();
    let action = match rule.action {
        RuleAction::Table(table) => format!("lookup {table}"),
        RuleAction::Goto(priority) => format!("goto {priority}"),
        RuleAction::Nop => "nop".into(),
        RuleAction::Blackhole => "blackhole".into(),
        RuleAction::Unreachable => "unreachable".into(),
        RuleAction::Prohibit => "prohibit".into(),
        RuleAction::Other(number) => format!("action {number}"),
    };
    format!("{}: from {from}{to}{iif}{mark} {action}", rule.priority)
}
