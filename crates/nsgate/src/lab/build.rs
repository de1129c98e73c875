//! Steps that change the network or start a service in it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use nsgate_core::model::Limit;
use nsgate_core::plan::Plan;
use nsgate_kernel::netns::{self, Netns};
use nsgate_kernel::server::Server;
use nsgate_kernel::{apply, settle};

use super::file::Line;
use super::{Observed, Serve};

/// The kernel readies an interface within a second.
const LONGEST_TO_SETTLE: Duration = Duration::from_secs(3);

/// Does what the lines say, up to the first that the kernel refuses.
pub(super) fn run(lines: &[Line]) -> Result<(Observed, Option<String>)> {
    for Line { text, step } in lines {
        apply::perform(step).map_err(|error| anyhow!("`{text}`: {error}"))?;
    }
    Ok((Observed::Changed(lines.len()), None))
}

/// Does what a verdict says mends it.
pub(super) fn fix(plan: &Plan) -> Result<(Observed, Option<String>)> {
    for step in &plan.steps {
        apply::perform(step).map_err(|error| anyhow!("`{step}`: {error}"))?;
    }
    let problem = plan.steps.is_empty().then(|| "the verdict has no commands that mend it".to_owned());
    Ok((Observed::Mended(plan.commands()), problem))
}

/// Starts a service.
pub(super) fn serve(serve: &Serve) -> Result<Server> {
    let netns = Netns::open(&serve.netns)?;
    let start = if serve.hangs { Server::hang } else { Server::start };
    Ok(start(&netns, serve.protocol, SocketAddr::new(serve.address, serve.port))?)
}

/// Waits until everything that was set up carries packets: a probe sent before would blame the wrong thing.
pub(super) fn settle() -> Result<()> {
    let mut namespaces = vec![Netns::host()?];
    for listed in netns::list()? {
        namespaces.push(Netns::open(&listed.name)?);
    }
    match settle::settle(&namespaces, LONGEST_TO_SETTLE)?.first() {
        None => Ok(()),
        Some(Limit { netns, what, why }) => {
            let netns = netns.as_ref().map_or_else(String::new, |netns| format!(" in {netns}"));
            bail!("{what}{netns} is not ready after {} s: {why}", LONGEST_TO_SETTLE.as_secs())
        }
    }
}
