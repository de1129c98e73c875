//! Inside a scenario: tcpdump and `nft monitor trace` listen in every namespace while nsgate traces.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use std::{env, fs};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::capture::records;
use super::compare::{Seen, compare};
use super::monitor::{Event, event};

/// The hidden task that runs inside.
pub(crate) const INSIDE: &str = "sightings-inside";

/// How long a tool may take until it listens.
const PATIENCE: Duration = Duration::from_secs(20);
/// What was seen at the end is on its way through pipes.
const SETTLE: Duration = Duration::from_millis(250);

/// Inside: `NSGATE trace FROM DEST ...`; prints what the comparison found, as JSON.
#[expect(clippy::print_stdout, reason = "the answer goes to the task outside")]
pub(crate) fn inside(words: &[String]) -> Result<bool> {
    let (nsgate, arguments) = words.split_first().context("nsgate's path is missing")?;
    let listeners = namespaces()?.into_iter().map(Listener::start).collect::<Result<Vec<_>>>()?;
    let mut trace = Command::new(nsgate);
    let output = trace.args(arguments).arg("--details").stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    thread::sleep(SETTLE);
    let seen = listeners.into_iter().map(Listener::stop).collect::<Result<Vec<_>>>()?;
    ensure!(!output.stdout.is_empty(), "nsgate said nothing");
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    if answer.get("observation").is_none() {
        println!("{}", json!({"unsent": answer["verdict"]["summary"]}));
        return Ok(true);
    }
    let found = compare(&seen, &answer)?;
    println!("{}", found.to_json());
    Ok(true)
}

/// A namespace: its name and, but for the own one, its file.
type Namespace = (String, Option<PathBuf>);

/// All namespaces that have names; a name that leads nowhere is left out.
fn namespaces() -> Result<Vec<Namespace>> {
    let mut found = vec![("host".to_owned(), None)];
    for entry in fs::read_dir("/run/netns").into_iter().flatten() {
        let entry = entry?;
        let namespace = (entry.file_name().to_string_lossy().into_owned(), Some(entry.path()));
        let mut nothing = within(&namespace, "true");
        if nothing.stderr(Stdio::null()).status()?.success() {
            found.push(namespace);
        }
    }
    Ok(found)
}

/// A command that will run in a namespace.
fn within((_, file): &Namespace, program: &str) -> Command {
    let mut command = match file {
        None => Command::new(program),
        Some(file) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net={}", file.display())).args(["--", program]);
            command
        }
    };
    command.env("PATH", format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default())).stdin(Stdio::null());
    command
}

/// The two tools at work in one namespace.
struct Listener {
    netns: String,
    tcpdump: Child,
    nft: Child,
    capture: JoinHandle<Vec<u8>>,
    events: JoinHandle<Vec<Event>>,
    /// What tcpdump says of its work.
    said: Arc<Mutex<String>>,
    saying: JoinHandle<()>,
}

impl Listener {
    /// Starts both, and waits until both listen.
    fn start(namespace: Namespace) -> Result<Self> {
        let mut tcpdump = within(&namespace, "tcpdump")
            .args([
                "-i",
                "any",
                "-p",
                "-n",
                "-U",
                "-s",
                "4096",
                "-B",
                "16384",
                "--immediate-mode",
                "--time-stamp-precision=nano",
                "-w",
                "-",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("tcpdump")?;
        let mut nft =
            within(&namespace, "nft").args(["-a", "monitor", "trace"]).stdout(Stdio::piped()).spawn().context("nft")?;
        let said = Arc::new(Mutex::new(String::new()));
        let listener = Self {
            netns: namespace.0,
            capture: collect(tcpdump.stdout.take()),
            events: note(nft.stdout.take()),
            saying: listen(tcpdump.stderr.take(), Arc::clone(&said)),
            said,
            tcpdump,
            nft,
        };
        listener.wait()?;
        Ok(listener)
    }

    fn wait(&self) -> Result<()> {
        let start = Instant::now();
        let sockets = format!("/proc/{}/net/netlink", self.nft.id());
        while !self.said().contains("listening on") || !joined(&fs::read_to_string(&sockets)?) {
            ensure!(start.elapsed() < PATIENCE, "{}: nobody listens: {}", self.netns, self.said());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn said(&self) -> String {
        self.said.lock().map(|said| said.clone()).unwrap_or_default()
    }

    /// Ends both, and gives what they saw.
    fn stop(mut self) -> Result<Seen> {
        for child in [&mut self.tcpdump, &mut self.nft] {
            Command::new("kill").args(["-TERM", &child.id().to_string()]).status()?;
            child.wait()?;
        }
        let _ = self.saying.join();
        let said = self.said.lock().map(|said| said.clone()).unwrap_or_default();
        ensure!(said.contains("\n0 packets dropped by kernel"), "tcpdump lost packets: {said}");
        let capture = self.capture.join().unwrap_or_default();
        let events = self.events.join().unwrap_or_default();
        Ok(Seen { netns: self.netns, records: records(&capture)?, events })
    }
}

/// Whether somebody has joined the group of the packet filter's traces, as /proc/PID/net/netlink says: its sockets with
/// their protocols (12: netfilter) and groups (as bits, the first is 1).
fn joined(sockets: &str) -> bool {
    const TRACES: u32 = 1 << 8;
    sockets.lines().any(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let groups = words.get(3).and_then(|groups| u32::from_str_radix(groups, 16).ok()).unwrap_or(0);
        words.get(1) == Some(&"12") && groups & TRACES != 0
    })
}

fn collect(pipe: Option<ChildStdout>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is.
        let _ = pipe.map(|mut pipe| pipe.read_to_end(&mut bytes));
        bytes
    })
}

fn note(pipe: Option<ChildStdout>) -> JoinHandle<Vec<Event>> {
    let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines().map_while(Result::ok));
    thread::spawn(move || lines.filter_map(|line| event(now(), &line)).collect())
}

fn listen(pipe: Option<ChildStderr>, said: Arc<Mutex<String>>) -> JoinHandle<()> {
    let lines = pipe.into_iter().flat_map(|pipe| BufReader::new(pipe).lines().map_while(Result::ok));
    thread::spawn(move || {
        for line in lines {
            if let Ok(mut said) = said.lock() {
                said.extend([line.as_str(), "\n"]);
            }
        }
    })
}

/// The real-time clock, in nanoseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
