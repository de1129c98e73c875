//! The sandbox as a command uses it: entered at the start of a process of one thread.
//!
//! The usual test harness starts threads, and a process of several threads cannot enter. So this has a `main` of its
//! own: without arguments it runs the tests below; as `scene NAME` it is the process that enters, started by a test.

#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a test, though not one that the compiler knows as such")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, panic, process, thread};

use nsgate_kernel::{exec, netns, sandbox};
use rustix::process::{Pid, Signal, kill_process};

type Named<F> = (&'static str, F);

const TESTS: &[Named<fn()>] = &[
    ("the_status_is_handed_on", the_status_is_handed_on),
    ("signals_are_handed_on", signals_are_handed_on),
    ("nothing_of_the_machine_is_in_reach", nothing_of_the_machine_is_in_reach),
    ("nothing_shows_outside", nothing_shows_outside),
    ("orphans_are_reaped", orphans_are_reaped),
    ("what_was_printed_before_is_printed_once", what_was_printed_before_is_printed_once),
    ("several_threads_are_refused", several_threads_are_refused),
    ("everything_ends_with_a_killed_process", everything_ends_with_a_killed_process),
    ("sandboxes_nest", sandboxes_nest),
    ("a_shell_lives_in_the_sandbox", a_shell_lives_in_the_sandbox),
];

const SCENES: &[Named<fn()>] = &[
    ("status", scene_status),
    ("signal", scene_signal),
    ("wait", scene_wait),
    ("machine", scene_machine),
    ("names", scene_names),
    ("orphans", scene_orphans),
    ("printed", scene_printed),
    ("threads", scene_threads),
    ("busy", scene_busy),
    ("sleep", scene_sleep),
    ("nested", scene_nested),
    ("shell", scene_shell),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["scene", name, ..] => {
            SCENES.iter().find(|(scene, _)| scene == name).expect("the scene exists").1();
            ExitCode::SUCCESS
        }
        // No test is one to be ignored.
        words if words.contains(&"--list") && words.contains(&"--ignored") => ExitCode::SUCCESS,
        ["--list", ..] => {
            for (name, _) in TESTS {
                println!("{name}: test");
            }
            ExitCode::SUCCESS
        }
        words => run(words.iter().find(|word| !word.starts_with('-')).copied().unwrap_or_default()),
    }
}

/// Runs the tests whose names hold `filter`, and tells the outcome as the usual harness does.
fn run(filter: &str) -> ExitCode {
    let chosen: Vec<_> = TESTS.iter().filter(|(name, _)| name.contains(filter)).collect();
    println!("\nrunning {} tests", chosen.len());
    let mut failed = 0;
    for (name, test) in &chosen {
        let passed = panic::catch_unwind(test).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    let outcome = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {outcome}. {} passed; {failed} failed; 0 ignored\n", chosen.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn scene(name: &str) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(["scene", name]).stdin(Stdio::null());
    command
}

/// What a scene printed; it must have succeeded.
fn played(mut scene: Command) -> String {
    let Output { status, stdout, stderr } = scene.output().unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{status}\n{text}");
    text
}

fn the_status_is_handed_on() {
    assert_eq!(scene("status").status().unwrap().code(), Some(7));
    assert_eq!(scene("signal").status().unwrap().code(), Some(128 + 15));
}

fn scene_status() {
    sandbox::enter().unwrap();
    process::exit(7);
}

fn scene_signal() {
    sandbox::enter().unwrap();
    kill_process(rustix::process::getpid(), Signal::TERM).unwrap();
    thread::sleep(Duration::from_mins(1));
}

fn signals_are_handed_on() {
    for (signal, code) in [(Signal::TERM, 128 + 15), (Signal::INT, 128 + 2), (Signal::HUP, 128 + 1)] {
        let mut outer = scene("wait").stdout(Stdio::piped()).spawn().unwrap();
        until_ready(&mut outer);
        kill_process(Pid::from_child(&outer), signal).unwrap();
        assert_eq!(outer.wait().unwrap().code(), Some(code), "{signal:?}");
    }
}

fn until_ready(outer: &mut Child) {
    let mut line = String::new();
    BufReader::new(outer.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn scene_wait() {
    sandbox::enter().unwrap();
    println!("ready");
    thread::sleep(Duration::from_mins(1));
}

fn nothing_of_the_machine_is_in_reach() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut machine = scene("machine");
    machine.arg(listener.local_addr().unwrap().to_string());
    played(machine);
}

fn scene_machine() {
    let outside = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let entered = sandbox::enter().unwrap();
    let there = env::args().nth(3).unwrap();
    assert_eq!(TcpStream::connect(there).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    let interfaces = fs::read_to_string("/proc/net/dev").unwrap();
    let interfaces: Vec<_> =
        interfaces.lines().skip(2).filter_map(|line| line.split(':').next()).map(str::trim).collect();
    assert!(!interfaces.iter().any(|name| name.starts_with("eth") || name.starts_with("veth")), "{interfaces:?}");
    TcpListener::bind("127.0.0.1:0").expect("lo is up");
    let in_run: Vec<_> = fs::read_dir("/run").unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(in_run, ["netns"]);
    assert_eq!(fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), outside);
    assert_eq!(process::id(), 2, "process 1 waits for this one");
    if entered.limits.is_empty() {
        assert_eq!(processes(), [1, 2]);
        assert!(
            fs::read_dir("/sys/class/net").unwrap().all(|link| !link
                .unwrap()
                .file_name()
                .to_str()
                .unwrap()
                .starts_with("eth"))
        );
    }
    if entered.user != 0 {
        assert_eq!(rustix::process::getuid().as_raw(), 0, "the user is root of the sandbox");
    }
}

/// The processes that `/proc` shows.
fn processes() -> Vec<u32> {
    let mut found: Vec<u32> =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok()).collect();
    found.sort_unstable();
    found
}

fn nothing_shows_outside() {
    let before = (netns::list().unwrap(), fs::read_to_string("/proc/self/mountinfo").unwrap());
    let mut outer = scene("names").stdout(Stdio::piped()).spawn().unwrap();
    until_ready(&mut outer);
    let during = (netns::list().unwrap(), fs::read_to_string("/proc/self/mountinfo").unwrap());
    outer.kill().unwrap();
    outer.wait().unwrap();
    assert_eq!(before, during);
}

fn scene_names() {
    sandbox::enter().unwrap();
    netns::create(&"nsgate-shows-outside".parse().unwrap()).unwrap();
    assert_eq!(netns::list().unwrap().len(), 1);
    println!("ready");
    thread::sleep(Duration::from_mins(1));
}

fn orphans_are_reaped() {
    played(scene("orphans"));
}

fn scene_orphans() {
    if !sandbox::enter().unwrap().limits.is_empty() {
        return; // The numbers below are the sandbox's own only in a fresh /proc.
    }
    for _ in 0..5 {
        // The child of this one is left behind, and ends a little later.
        let mut child = scene("sleep");
        child.args(["20", "leave"]);
        assert!(child.status().unwrap().success());
    }
    let deadline = Instant::now() + Duration::from_secs(5);
    while processes() != [1, 2] {
        assert!(Instant::now() < deadline, "left: {:?}", processes());
        thread::sleep(Duration::from_millis(5));
    }
}

fn what_was_printed_before_is_printed_once() {
    assert_eq!(played(scene("printed")), "before after\n");
}

fn scene_printed() {
    print!("before ");
    sandbox::enter().unwrap();
    println!("after");
}

fn several_threads_are_refused() {
    played(scene("threads"));
}

fn scene_threads() {
    let (end, wait) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv());
    let refused = sandbox::enter().unwrap_err().to_string();
    assert!(refused.contains("2 threads"), "{refused}");
    drop(end);
    other.join().unwrap().unwrap_err();
}

/// Kills the outer process at many moments of a busy life. All processes share one pipe, which ends with the last of
/// them; without a process, no namespace and no mount of a sandbox can be left.
fn everything_ends_with_a_killed_process() {
    for round in 0..20_u32 {
        let (mut output, input) = std::io::pipe().unwrap();
        let mut outer = scene("busy").stdout(input.try_clone().unwrap()).stderr(input).spawn().unwrap();
        // Early rounds kill while the sandbox is being made, later ones while it is full of processes.
        thread::sleep(Duration::from_micros(u64::from(round * round) * 150));
        outer.kill().unwrap();
        let killed = Instant::now();
        outer.wait().unwrap();
        let (send, receive) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let mut printed = String::new();
            output.read_to_string(&mut printed).unwrap();
            send.send(printed)
        });
        let printed = receive.recv_timeout(Duration::from_secs(5));
        let printed = printed.unwrap_or_else(|_| panic!("round {round}: something outlived its sandbox"));
        for namespace in printed.lines() {
            // A dying process closes its files before it leaves its namespaces.
            while !holders(namespace).is_empty() {
                let left = holders(namespace);
                assert!(killed.elapsed() < Duration::from_secs(5), "round {round}: {namespace} is held by {left:?}");
            }
        }
    }
}

/// The processes in the namespace of this name (`net:[4026531840]`), as far as this user may look. What has ended and
/// only waits for the machine's first process to take note holds nothing.
fn holders(namespace: &str) -> Vec<u32> {
    let alive = |process: u32| {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        !status.is_empty() && !status.contains("\nState:\tZ")
    };
    let inside = |process: u32| {
        ["net", "pid", "mnt"].iter().any(|kind| {
            fs::read_link(format!("/proc/{process}/ns/{kind}")).is_ok_and(|link| link.as_os_str() == namespace)
        })
    };
    processes().into_iter().filter(|&process| inside(process) && alive(process)).collect()
}

fn scene_busy() {
    sandbox::enter().unwrap();
    for kind in ["net", "pid", "mnt"] {
        println!("{}", fs::read_link(format!("/proc/self/ns/{kind}")).unwrap().display());
    }
    for number in 0.. {
        netns::create(&format!("n{number}").parse().unwrap()).unwrap();
        // Both the child and its own child outlive this loop unless the sandbox ends.
        start_sleeper("60000");
        let mut leaver = scene("sleep");
        leaver.args(["60000", "leave"]).status().unwrap();
        thread::sleep(Duration::from_millis(2));
    }
}

/// Sleeps so many milliseconds, or leaves that to a child.
fn scene_sleep() {
    let milliseconds = env::args().nth(3).unwrap();
    if env::args().nth(4).as_deref() == Some("leave") {
        return start_sleeper(&milliseconds);
    }
    thread::sleep(Duration::from_millis(milliseconds.parse().unwrap()));
}

#[expect(clippy::zombie_processes, reason = "what nobody waits for is what these tests are about")]
fn start_sleeper(milliseconds: &str) {
    scene("sleep").args([milliseconds, "stay"]).spawn().unwrap();
}

fn sandboxes_nest() {
    assert_eq!(played(scene("nested")), "innermost\n");
}

fn scene_nested() {
    let outer = sandbox::enter().unwrap();
    if env::args().nth(3).is_some() {
        println!("innermost");
        return;
    }
    drop(outer);
    let mut again = scene("nested");
    again.arg("again");
    print!("{}", played(again));
}

fn a_shell_lives_in_the_sandbox() {
    let mut shell = scene("shell").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    shell.stdin.take().unwrap().write_all(b"echo /run/*; exit 3\n").unwrap();
    let Output { status, stdout, .. } = shell.wait_with_output().unwrap();
    assert_eq!((String::from_utf8_lossy(&stdout).as_ref(), status.code()), ("/run/netns\n", Some(3)));
}

fn scene_shell() {
    let entered = sandbox::enter().unwrap();
    process::exit(exec::shell(entered.user).unwrap());
}
