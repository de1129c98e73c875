//! The file that says what is wanted, read and held against what is: what `plan`, `up` and `status` have in common.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use nsgate_core::model::{Limit, NetnsName, World};
use nsgate_core::plan::{self, State, Step};
use nsgate_core::spec::{self, Diagnostic, Expected, LARGEST, Severity, Spec, Wanted};
use nsgate_kernel::apply::Records;

use crate::exit::{Failure, FailureKind};
use crate::output::{Output, human};

/// The file that is read if none is named.
pub(crate) const DEFAULT_FILE: &str = "/etc/nsgate/nsgate.toml";

/// A specification that was read without errors.
pub(crate) struct Specification {
    path: String,
    text: String,
    spec: Spec,
    /// What the whole is called if the file does not say.
    stem: String,
}

/// What has to be done to get what is wanted.
pub(crate) struct Draft {
    /// What the whole is called.
    pub(crate) instance: String,
    /// What is wanted.
    pub(crate) wanted: Wanted,
    /// The steps.
    pub(crate) steps: Vec<Step>,
    /// What has to be remembered once they are done.
    pub(crate) state: State,
}

impl Specification {
    /// Reads a file; `-` is standard input. What is wrong with it is shown, all at once.
    pub(crate) fn read(file: Option<&Path>, output: &mut Output) -> Result<Self, Failure> {
        let file = file.unwrap_or(Path::new(DEFAULT_FILE));
        let path = file.display().to_string();
        let text = read_text(file).map_err(|error| {
            let failure = Failure::new(FailureKind::Usage, error.context(format!("cannot read {path}")));
            if path == DEFAULT_FILE { failure.hint("name another file: nsgate plan FILE") } else { failure }
        })?;
        let (spec, found) = spec::read(&text);
        let stem = stem(file).unwrap_or_default();
        match spec {
            Some(spec) => {
                show(&path, &text, &found, output);
                Ok(Self { path, text, spec, stem })
            }
            None => Err(refuse(&path, &text, &found, output)),
        }
    }

    /// What has to be done. What stands in the way is shown, all at once.
    pub(crate) fn draft(&self, world: &World, records: &Records, output: &mut Output) -> Result<Draft, Failure> {
        let wanted = self.wanted(world, output)?;
        can_be_seen(&wanted, world)?;
        let compiled = plan::compile(&wanted, world).map_err(|error| Failure::new(FailureKind::Usage, error))?;
        let others: Vec<State> = records.other_states(&wanted.instance)?.into_iter().map(|(_, state)| state).collect();
        let (state, back) = records.state(&wanted.instance)?.after(&compiled, &others, world);
        let mut steps = compiled.plan.steps;
        steps.extend(back);
        Ok(Draft { instance: wanted.instance.clone(), wanted, steps, state })
    }

    /// What is wanted, with nothing left open. What stands in the way is shown, all at once.
    pub(crate) fn wanted(&self, world: &World, output: &mut Output) -> Result<Wanted, Failure> {
        let resolved = spec::resolve(&self.spec, &self.stem, world);
        match resolved.wanted {
            Some(wanted) => {
                show(&self.path, &self.text, &resolved.diagnostics, output);
                Ok(wanted)
            }
            None => Err(refuse(&self.path, &self.text, &resolved.diagnostics, output)),
        }
    }

    /// Who must reach whom, and who must not; `derived`: also what follows from the networks.
    pub(crate) fn expected(&self, wanted: &Wanted, derived: bool) -> Vec<Expected> {
        spec::expected(&self.spec, wanted, derived)
    }

    /// The same for those who only look: what could not be seen, and what is half done, is said.
    pub(crate) fn outlook(&self, world: &World, output: &mut Output) -> Result<Draft, Failure> {
        let records = Records::look()?;
        let draft = self.draft(world, &records, output)?;
        note_limits(world, output);
        if records.under_way(&draft.instance) {
            let instance = &draft.instance;
            output.note(&format!(
                "nsgate: a change of {instance} is under way or was cut short; `up` and `down` finish it"
            ));
        }
        Ok(draft)
    }

    /// What the whole is called.
    pub(crate) fn instance(&self) -> &str {
        self.spec.name.as_ref().map_or(&self.stem, |name| &name.value)
    }
}

/// Says what of the gateway's namespace could not be seen.
pub(crate) fn note_limits(world: &World, output: &mut Output) {
    for limit in world.limits.iter().filter(|limit| limit.netns.as_ref().is_none_or(NetnsName::is_host)) {
        output.note(&format!("nsgate: not seen: {}: {}", limit.what, limit.why));
    }
}

/// What the whole is called if nothing else says it: the file's name without its ending.
pub(crate) fn stem(file: &Path) -> Option<String> {
    if file == Path::new("-") {
        return None;
    }
    Some(PathBuf::from(file.file_name()?).file_stem()?.to_string_lossy().into_owned())
}

/// What a file calls the whole, if it can be read and says so.
pub(crate) fn name_in(file: &Path) -> Option<String> {
    let (spec, _) = spec::read(&read_text(file).ok()?);
    Some(spec?.name?.value)
}

/// No more is read than a specification may have: one byte beyond it tells that it is too large.
fn read_text(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let most = LARGEST as u64 + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(most).read_to_end(&mut bytes)?;
    } else {
        let open = File::open(file)?;
        open.take(most).read_to_end(&mut bytes)?;
    }
    if bytes.len() > LARGEST {
        return Err(anyhow!("it is larger than {LARGEST} bytes")).context("a specification of that size is not read");
    }
    String::from_utf8(bytes).map_err(|error| {
        anyhow!("it is not text: the byte at {} belongs to no UTF-8 character", error.utf8_error().valid_up_to())
    })
}

/// A namespace that is there and cannot be looked into must not be taken for one that is not there.
fn can_be_seen(wanted: &Wanted, world: &World) -> Result<(), Failure> {
    let members = wanted.networks().flat_map(|network| &network.members);
    for member in members.filter(|member| world.namespace(&member.netns).is_none()) {
        let limit = world.limits.iter().find(|limit| limit.netns.as_ref() == Some(&member.netns));
        if let Some(Limit { why, .. }) = limit {
            let error = anyhow!("cannot look into network namespace {}: {why}", member.netns);
            return Err(Failure::new(FailureKind::Environment, error));
        }
    }
    Ok(())
}

fn show(path: &str, text: &str, found: &[Diagnostic], output: &mut Output) {
    if !found.is_empty() {
        output.note(&human::diagnostic::show(path, text, found));
    }
}

fn refuse(path: &str, text: &str, found: &[Diagnostic], output: &mut Output) -> Failure {
    show(path, text, found, output);
    let errors = found.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count();
    let words = if errors == 1 { "one error".into() } else { format!("{errors} errors") };
    Failure::new(FailureKind::Usage, anyhow!("{words} in {path}; nothing was changed"))
}
