//! Steps that look at what stands in the kernel.

use std::net::IpAddr;

use anyhow::Result;
use nsgate_core::model::conntrack::Entry;
use nsgate_kernel::netlink::{Protocol, Socket};
use nsgate_kernel::netns::Netns;
use nsgate_kernel::{conntrack, nftables, sysctl};

use super::file::Listed;
use super::{Flow, List, Observed, Read};

/// Reads a setting.
pub(super) fn setting(read: &Read) -> Result<(Observed, Option<String>)> {
    let value = sysctl::read(&Netns::open(&read.netns)?, &read.sysctl)?;
    let problem = (value != read.expect).then(|| format!("{} is {value}, it should be {}", read.sysctl, read.expect));
    Ok((Observed::Setting(read.sysctl.clone(), value), problem))
}

/// Lists what there is.
pub(super) fn list(list: &List) -> Result<(Observed, Option<String>)> {
    let netns = Netns::open(&list.netns)?;
    let text = match list.what {
        Listed::Nft => ruleset(&netns)?,
    };
    let missing = list.holds.iter().find(|words| !text.contains(words.as_str()));
    let problem = missing.map(|words| format!("the list does not hold `{words}`"));
    Ok((Observed::Listing(text), problem))
}

/// The packet filter as nft writes it.
fn ruleset(netns: &Netns) -> Result<String> {
    let reading = netns.run(|| nftables::ruleset(&mut Socket::open(Protocol::Netfilter)?))??;
    Ok(reading.ruleset.to_string())
}

/// Finds tracked flows.
pub(super) fn flows(flow: &Flow) -> Result<(Observed, Option<String>)> {
    let netns = Netns::open(&flow.netns)?;
    let ours = |entry: &Entry| entry.original.source == flow.source && entry.original.destination == flow.destination;
    let found = netns.run(|| conntrack::entries(&mut Socket::open(Protocol::Netfilter)?, ours))??.items;
    let problem = if found.is_empty() {
        Some(format!("no flow from {} to {} is tracked", flow.source, flow.destination))
    } else {
        (!found.iter().any(|entry| translates(entry, flow))).then(|| "no such flow is translated so".to_owned())
    };
    Ok((Observed::Flows(found), problem))
}

/// Whether an entry's answer is expected where the translation says.
fn translates(entry: &Entry, flow: &Flow) -> bool {
    let becomes = |wanted: Option<IpAddr>, is: IpAddr| wanted.is_none_or(|wanted| wanted == is);
    becomes(flow.translated_source, entry.reply.destination) && becomes(flow.translated_destination, entry.reply.source)
}
