use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::model::{Namespace, World};
use crate::plan::simulate;

/// The experiment, as the design writes it down.
const ARTICLE: &str = r#"
[gateway.host]
uplink = "eth2"

[network.blue]
gateway = "host"
subnets = ["1.1.1.0/24"]
gateway-addresses = ["1.1.1.3"]
source-nat = "10.20.30.182"

[network.blue.member.ns_1]
addresses = ["1.1.1.2"]
interface = "veth2"
gateway-interface = "veth3"
"#;

/// Everything found, one a line: line, column, message, label and hint.
fn shown(text: &str, diagnostics: &[Diagnostic]) -> String {
    let mut lines = String::new();
    for diagnostic in diagnostics {
        let before = &text[..diagnostic.span.start];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        let word = if diagnostic.severity == Severity::Warning { " (warning)" } else { "" };
        let hint = diagnostic.hint.as_ref().map(|hint| format!(" -> {hint}")).unwrap_or_default();
        writeln!(lines, "{line}:{column}{word} {} [{}]{hint}", diagnostic.message, diagnostic.label).unwrap();
    }
    lines
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    let (spec, found) = read(text);
    assert_eq!(spec, None);
    assert_eq!(shown(text, &found).lines().collect::<Vec<_>>(), expected);
}

/// A World whose `host` has an uplink with an address and a default route, and what these lines build in it.
fn world(lines: &str) -> World {
    let mut world = World::default();
    world.namespaces.push(Namespace::new(NetnsName::host(), 1));
    let uplink = "ip link add eth2 type dummy
        ip addr add 10.20.30.182/24 dev eth2
        ip link set eth2 up
        ip route add default via 10.20.30.1 dev eth2";
    for line in uplink.lines().chain(lines.lines()) {
        simulate::apply(&mut world, &line.trim().parse().unwrap()).unwrap();
    }
    world
}

fn wanted(text: &str, world: &World) -> Wanted {
    let (spec, found) = read(text);
    let spec = spec.unwrap_or_else(|| panic!("{}", shown(text, &found)));
    let resolved = resolve(&spec, "lab", world);
    resolved.wanted.unwrap_or_else(|| panic!("{}", shown(text, &resolved.diagnostics)))
}

#[track_caller]
fn in_the_way(text: &str, world: &World, expected: &[&str]) {
    let resolved = resolve(&read(text).0.unwrap(), "lab", world);
    assert_eq!(shown(text, &resolved.diagnostics).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_article_reads_as_it_is_meant() {
    let wanted = wanted(ARTICLE, &world(""));
    assert_eq!(wanted.instance, "lab");
    assert_eq!(wanted.gateways[0].uplinks[0].interface.as_str(), "eth2");
    let [network] = &wanted.gateways[0].networks[..] else { panic!("one network") };
    assert_eq!(network.gateways, ["1.1.1.3/24".parse().unwrap()]);
    assert_eq!(network.mtu, 1500);
    let [member] = &network.members[..] else { panic!("one member") };
    assert_eq!(member.addresses, ["1.1.1.2/24".parse().unwrap()]);
    assert_eq!((member.interface.as_str(), member.gateway_interface.as_str()), ("veth2", "veth3"));
}

#[test]
fn the_examples_are_complete() {
    for text in [include_str!("../../../../examples/article.toml"), include_str!("../../../../examples/bridge.toml")] {
        wanted(text, &world(""));
    }
    wanted(include_str!("../../../../examples/router.toml"), &world("ip link add br-ex type bridge"));
}

#[test]
fn what_is_left_out_is_filled_in() {
    let text = r#"
name = "shop"
[network.red]
subnets = ["10.0.0.0/29", "fd00:7::/64"]
kind = "bridge"
source-nat = "masquerade"
member = { web-2 = {}, web-1 = { addresses = ["10.0.0.2"] }, web-3 = {} }
"#;
    let wanted = wanted(text, &world(""));
    assert_eq!(wanted.instance, "shop");
    assert_eq!(wanted.gateways[0].uplinks[0].interface.as_str(), "eth2", "the interface of the default route");
    let network = &wanted.gateways[0].networks[0];
    assert_eq!(network.bridge.as_ref().unwrap().as_str(), "br-red");
    let members: Vec<String> = network.members.iter().map(|m| format!("{} {:?}", m.netns, m.addresses)).collect();
    assert_eq!(
        members,
        ["web-2 [10.0.0.3/29, fd00:7::2/64]", "web-1 [10.0.0.2/29]", "web-3 [10.0.0.4/29, fd00:7::3/64]"]
    );
    assert_eq!(network.members[0].gateway_interface.as_str(), "red-web-2");
    assert_eq!(network.members[0].interface.as_str(), "eth0");
}

#[test]
fn all_errors_come_at_once_each_with_its_place() {
    let text = r#"[network.blue]
subnet = ["1.1.1.0/24"]
subnets = ["1.1.1.7/24", "300.0.0.0/8", 7]
source-nat = "masqerade"
mtu = 40
kind = "ring"

[network.blue.member."a/b"]
[network.blue.member.ok]
addresses = ["2.2.2.2", "1.1.1.0", "1.1.1.9/24"]
interface = "a-name-far-too-long"
"#;
    refused(
        text,
        &[
            "2:1 [network.blue] has no key 'subnet' [unknown key] -> did you mean 'subnets'?",
            "3:12 1.1.1.7/24 is an address, not a subnet [has bits behind its prefix length] -> the subnet is \"1.1.1.0/24\"",
            "3:26 '300.0.0.0/8' is not a subnet [expected a subnet] -> write it like \"10.0.0.0/24\" or \"fd00:7::/64\"",
            "3:41 expected a string, found a number [expected a string]",
            "4:14 'masqerade' is no way to translate sources [unknown translation] -> did you mean \"masquerade\"?",
            "5:7 an MTU of 40 is too small for IPv4 [at least 68]",
            "6:8 there is no kind of network called 'ring' [unknown kind] -> write \"routed\" or \"bridge\"",
            "8:22 'a/b' holds '/', which cannot stand in such a name [not a name that Linux takes]",
            "10:14 2.2.2.2 is in no subnet of network 'blue' [outside] -> its subnets are 1.1.1.7/24",
            "10:25 1.1.1.0 is the subnet's own address: no host can have it [reserved]",
            "10:36 an address is written without a prefix length here [prefix length] -> write \"1.1.1.9\": the subnet says how long it is",
            "11:13 'a-name-far-too-long' is 19 bytes long; 15 is the longest that Linux takes here [not a name that Linux takes]",
        ],
    );
}

#[test]
fn what_is_not_built_yet_is_said_never_passed_over() {
    let text = r#"[gateway.host]
[network.red]
subnets = ["10.0.0.0/24"]
member.web-1 = { mac = "02:00:00:00:00:01" }
"#;
    let (spec, found) = read(text);
    assert_eq!(spec, None);
    assert_eq!(found.iter().map(|d| &text[d.span.clone()]).collect::<Vec<_>>(), ["mac"]);
    assert!(found[0].message.contains("not supported yet"), "{found:?}");
}

#[test]
fn what_is_wrong_with_gateways_is_said_at_its_place() {
    let text = r#"[gateway.a]
uplink = { to = "b", addresses = ["10.255.0.2/30"], peer-addresses = ["10.254.0.1/30"] }
[gateway.b]
uplink = { to = "c", addresses = ["10.255.1.2/30"], via = ["10.255.9.1", "10.255.1.1", "10.255.1.1"] }
[gateway.c]
namespace = "d"
uplink = [{ to = "a", addresses = ["10.255.2.2/30"] }, { to = "hots", addresses = ["10.255.3.2"] }, { via = "1.1.1.1" }]
[gateway.d]
uplink = { bridge = "br-ex", to = "a" }
routes = [{ to = "10.0.0.1/8", via = "10.0.0.1" }, { to = "10.0.0.0/8" }, { to = "fd00::/8", via = "10.0.0.1" }]
[gateway."e f"]
[network.n]
subnets = ["10.0.0.0/24"]
member.b = {}
[network.m]
gateway = "dd"
subnets = ["10.0.0.0/24"]
"#;
    refused(
        text,
        &[
            "2:17 the uplinks of 'a' lead back to itself [leads in a circle]",
            "2:71 10.254.0.1 is in no subnet of the gateway's own addresses [outside]",
            "4:60 10.255.9.1 is in no subnet of the uplink's addresses [outside]",
            "4:74 a second router for IPv4 [second of its family]",
            "4:88 a second router for IPv4 [second of its family]",
            "7:63 the gateway has no address on this uplink [addresses missing] -> add addresses = [\"203.0.113.5/24\"]",
            "7:63 there is no gateway 'hots' [unknown gateway] -> describe it under [gateway.hots]",
            "7:84 '10.255.3.2' is not an address with a prefix length [expected an address with a prefix length] -> write it like \"203.0.113.5/24\"",
            "7:101 this uplink does not say where it leads [leads nowhere] -> say bridge = \"br-ex\" or to = \"host\", or name an interface that exists",
            "8:10 'd' is the namespace of gateway 'c' already [claimed twice]",
            "9:35 an uplink leads to a bridge or to a gateway [not to both]",
            "10:18 10.0.0.1/8 is an address, not a subnet [has bits behind its prefix length] -> the subnet is \"10.0.0.0/8\"",
            "10:52 a route has one of via, blackhole and unreachable [leads to none, or to several] -> write it like { to = \"10.9.0.0/16\", via = \"10.0.0.9\" }",
            "10:100 10.0.0.1 is no router for fd00::/8 [of the other family]",
            "11:10 'e f' cannot name a gateway [not a name for a gateway] -> take at most 63 letters, digits, '_', '-' and '.'",
            "12:10 network 'n' does not say which gateway it is behind [gateway missing] -> add gateway = \"a\" or \"b\" or \"c\" or \"d\"",
            "14:8 'b' is the namespace of gateway 'b' [claimed twice]",
            "16:11 there is no gateway 'dd' [unknown gateway] -> did you mean 'd'?",
        ],
    );
}

#[test]
fn what_is_no_toml_is_shown_where_it_stops_being_it() {
    refused("[network.blue\n", &["1:14 this is not TOML: unclosed table, expected `]` [not TOML]"]);
    let (spec, found) = read("\u{0}\u{1}binary");
    assert!(spec.is_none() && !found.is_empty());
}

#[test]
fn a_file_too_large_is_not_read() {
    let text = "# x\n".repeat(LARGEST / 4 + 1);
    refused(
        &text,
        &["1:1 the file has 1048580 bytes; 1048576 are the most that are read [] -> split it into several files"],
    );
}

#[test]
fn names_and_addresses_are_used_once() {
    let text = r#"[gateway.host]
uplink = "eth2"
[network.a]
subnets = ["10.0.0.0/16", "10.9.0.0/16"]
member.one = { addresses = ["10.0.0.5"], gateway-interface = "eth2" }
member.two = { addresses = ["10.0.0.5", "10.0.0.1"] }
[network.b]
subnets = ["10.0.7.0/24"]
member.one = {}
"#;
    refused(
        text,
        &[
            "5:62 'eth2' is the name of the uplink [a second time]",
            "6:29 10.0.0.5 is taken: it belongs to member 'one' [taken]",
            "6:41 10.0.0.1 is the gateway's own address, as the first of 10.0.0.0/16 [taken] -> give the gateway another one with gateway-addresses, or the member",
            "8:12 10.0.7.0/24 overlaps 10.0.0.0/16 of network 'a' [overlaps]",
            "9:8 'one' is in network 'a' already [a second time] -> a member of several networks is not supported yet",
        ],
    );
}

#[test]
fn what_is_in_the_way_is_named() {
    let busy = world(
        "ip link add docker0 type bridge
         ip addr add 1.1.0.1/16 dev docker0
         ip link set docker0 up
         ip link add veth3 type dummy",
    );
    in_the_way(
        &ARTICLE.replace("eth2", "eth3").replace("10.20.30.182", "10.20.30.183"),
        &busy,
        &[
            "3:10 there is no interface 'eth3' in the namespace of the gateway [does not exist] -> did you mean 'veth3'?",
            "7:12 1.1.1.0/24 overlaps 1.1.0.0/16, which is in use on docker0 [in use] -> take another range",
            "9:14 (warning) no interface holds 10.20.30.183, so answers come back only if the uplink's network routes it here [held by nobody here] -> if it does not: ip addr add 10.20.30.183/32 dev eth3",
            "14:21 host has an interface 'veth3' that nsgate did not make [in use] -> take another name; what nsgate did not make it does not touch",
        ],
    );
    let text = ARTICLE
        .replace("1.1.1.2\"", "10.20.30.182\"")
        .replace("1.1.1.0/24", "10.20.0.0/16")
        .replace("1.1.1.3", "10.20.0.1");
    let resolved = resolve(&read(&text).0.unwrap(), "lab", &world(""));
    let messages: Vec<_> = resolved.diagnostics.iter().map(|d| d.message.as_str()).collect();
    assert_eq!(
        messages,
        [
            "10.20.0.0/16 overlaps 10.20.30.0/24, which is in use on eth2",
            "10.20.30.182 is in use on eth2 of the gateway's namespace"
        ]
    );
}

#[test]
fn a_namespace_that_cannot_be_a_member_is_refused() {
    let mut busy = world(
        "ip netns add own
         ip link add x type veth peer name y netns own
         ip -n own addr add 192.168.0.2/24 dev y
         ip -n own link set y up
         ip -n own route add default via 192.168.0.1 dev y",
    );
    busy.namespaces[0].aliases.push("gate".parse().unwrap());
    in_the_way(
        "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.own = {}\nmember.gate = {}\n",
        &busy,
        &[
            "3:8 'own' has a default route of its own through 192.168.0.1, for IPv4 [leads elsewhere] -> remove it: ip -n own route del default",
            "4:8 'gate' is another name of the namespace 'host' [not a name of its own] -> the gateway's own namespace cannot be a member",
        ],
    );
}

#[test]
fn without_a_default_route_the_uplink_must_be_named() {
    let mut lonely = world("");
    simulate::apply(&mut lonely, &"ip route del default".parse().unwrap()).unwrap();
    let text = "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nsource-nat = \"masquerade\"\n";
    in_the_way(
        text,
        &lonely,
        &[
            "1:10 there is no default route, so nothing says which interface leads outside [needs an uplink] -> name it: uplink = \"eth0\" under [gateway.host]",
        ],
    );
    assert_eq!(wanted(&text.replace("masquerade", "none"), &lonely).gateways[0].uplinks, []);
}

#[test]
fn a_member_keeps_its_address_when_others_come_before_it() {
    let existing = world(
        "ip netns add b
         ip link add a-b type veth peer name eth0 netns b
         ip link set a-b alias nsgate:lab:a:b
         ip -n b link set eth0 alias nsgate:lab:a:b
         ip -n b addr add 10.0.0.2/24 dev eth0",
    );
    let text = "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.new = {}\nmember.b = {}\n";
    let members = &wanted(text, &existing).gateways[0].networks[0].members;
    let addresses: Vec<_> = members.iter().map(|m| format!("{} {}", m.netns, m.addresses[0])).collect();
    assert_eq!(addresses, ["new 10.0.0.3/24", "b 10.0.0.2/24"]);
    assert_eq!(members[1].gateway_interface.as_str(), "a-b");
}

#[test]
fn a_subnet_may_run_out_of_addresses() {
    let members = "member.m0 = {}\nmember.m1 = {}\nmember.m2 = {}\nmember.m3 = {}\n";
    let text = format!("[network.a]\nsubnets = [\"10.0.0.0/30\"]\n{members}");
    let resolved = resolve(&read(&text).0.unwrap(), "lab", &world(""));
    assert_eq!(resolved.diagnostics.len(), 3);
    assert_eq!(resolved.diagnostics[0].message, "10.0.0.0/30 has no address left for 'm1'");
}

/// A network of both families, one member of which has IPv4 only.
const FAMILIES: &str = r#"
[network.red]
subnets = ["10.0.0.0/24", "fd00:7::/64"]
member.both = { addresses = ["10.0.0.2", "fd00:7::2"] }
member.four = { addresses = ["10.0.0.4"] }
"#;

#[test]
fn a_member_is_expected_at_each_address_that_the_sender_can_use() {
    let text = FAMILIES.to_owned()
        + "[[expect]]\nfrom = [\"both\", \"four\", \"host\"]\nto = [\"both:22\", \"192.0.2.1\"]\nreach = false\n";
    let spec = read(&text).0.unwrap();
    let wanted = resolve(&spec, "lab", &world("")).wanted.unwrap();
    let lines = |derived| -> Vec<String> {
        let show = |one: Expected| format!("{} {} {} {}", one.from, one.to, one.reach, one.stated);
        expected(&spec, &wanted, derived).into_iter().map(show).collect()
    };
    let stated = [
        "both 192.0.2.1 false true",
        "four 10.0.0.2:22/tcp false true",
        "four 192.0.2.1 false true",
        "host 10.0.0.2:22/tcp false true",
        "host [fd00:7::2]:22/tcp false true",
        "host 192.0.2.1 false true",
    ];
    assert_eq!(lines(false), stated);
    let gateways = ["both 10.0.0.1 true false", "both fd00:7::1 true false", "four 10.0.0.1 true false"];
    assert_eq!(lines(true)[stated.len()..], gateways);
}

#[test]
fn what_is_wrong_with_an_expectation_is_said_at_its_place() {
    let text =
        FAMILIES.to_owned() + "[[expect]]\nfrom = \"both\"\nto = [\"for\", \"four:0\"]\nreech = true\n[[expect]]\n";
    let found = read(&text).1;
    let like = "write from = \"web-1\", to = \"203.0.113.1:443/tcp\", reach = true";
    let lines = [
        "8:7 there is no member 'for' [unknown member] -> did you mean 'four'?",
        "8:14 'four:0' names no port from 1 to 65535 [not a destination] -> write it like \"web-1\", \"10.0.0.1:80/tcp\" or \"[fd00::1]:53/udp\"",
        "9:1 [[expect]] has no key 'reech' [unknown key] -> did you mean 'reach'?",
        &format!("10:1 [[expect]] does not say 'from' [of this one] -> {like}"),
        &format!("10:1 [[expect]] does not say 'to' [of this one] -> {like}"),
    ];
    assert_eq!(shown(&text, &found).lines().collect::<Vec<_>>(), lines);
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "(\\[(network|gateway)[.a-z]{0,6}\\]|[a-z]{1,8} = [ -~]{0,12}|subnets = \\[\"[0-9./:]{0,12}\"\\]|\n){0,12}") {
        let (spec, found) = read(&text);
        prop_assert!(spec.is_some() || !found.is_empty());
        for diagnostic in found {
            prop_assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
        }
    }
}

#[test]
fn what_is_wrong_with_translations_is_said_at_its_place() {
    let text = r#"[network.a]
subnets = ["10.0.0.0/24"]
source-nat = { pool = ["203.0.113.20-203.0.113.10", "203.0.113.7", "203.0.113.8"], ports = "0-9" }
no-nat = ["fd00::/8", "10.1.0.1/8"]
[network.a.member]
m1 = { source-nat = { ipv6 = "masquerade", ipv4 = "2001:db8::1" } }
m2 = { source-nat = "224.0.0.1" }
m3 = { source-nat = { port = "1-2" } }
"#;
    refused(
        text,
        &[
            "3:24 '203.0.113.20-203.0.113.10' is not a range of addresses [expected a range of addresses] -> write it like \"203.0.113.10-203.0.113.20\"",
            "3:68 a second IPv4 address to translate to [second of its family] -> write several as one range: { pool = [\"203.0.113.10-203.0.113.20\"] }",
            "3:92 '0-9' is not a range of ports [expected a range of ports] -> write it like \"1024-65535\"",
            "4:11 network 'a' has no IPv6 subnet [of the other family]",
            "4:23 10.1.0.1/8 has bits behind its prefix length [not a range] -> write \"10.0.0.0/8\"",
            "6:51 2001:db8::1 is not IPv4 [of the other family]",
            "6:51 network 'a' has no IPv6 subnet to translate [of the other family]",
            "7:21 no answer can come to 224.0.0.1 [unusable]",
            "8:21 this translation does not say to what [says nothing] -> write { pool = [\"203.0.113.10-203.0.113.20\"] } or { ipv4 = \"masquerade\" }",
            "8:23 source-nat has no key 'port' [unknown key] -> did you mean 'ports'?",
        ],
    );
}

#[test]
fn what_is_wrong_with_entrances_is_said_at_its_place() {
    let text = r#"[network.a]
subnets = ["10.0.0.0/24"]
member.m1 = {}
[[publish]]
on = "203.0.113.5"
to = "m1:80"
[[publish]]
on = ":80-81"
to = "m1:80-82"
[[publish]]
on = "0.0.0.0:80"
to = "m1:x"
from = []
[[publish]]
on = "203.0.113.5:80"
to = "m1"
from = ["2001:db8::/32"]
[[publish]]
too = "m1"
[[floating]]
address = "127.0.0.1"
to = "m1"
[[floating]]
address = "10.20.30.9"
to = "m1"
[[floating]]
address = "10.20.30.9"
to = "m2"
"#;
    refused(
        text,
        &[
            "5:6 '203.0.113.5' is not an address with a port [expected an address with a port] -> write it like \"203.0.113.5:8080/tcp\" or \":8080-8090/udp\"",
            "9:6 2 ports cannot lead to 3 [of another number] -> give as many on both sides, or one port, or none for the same ones",
            "11:6 nothing from outside can be for 0.0.0.0 [unusable] -> for any address of the gateway: \":80/tcp\"",
            "12:6 'm1:x' is no member with a port [not a destination] -> write it like \"web-1:80\", \"web-1:8080-8090\", or \"web-1\" for the same port",
            "17:9 2001:db8::/32 can never send to an IPv4 address [of the other family]",
            "18:1 [[publish]] does not say 'on' [of this one] -> write on = \"203.0.113.5:8080/tcp\", to = \"web-1:80\"",
            "18:1 [[publish]] does not say 'to' [of this one] -> write on = \"203.0.113.5:8080/tcp\", to = \"web-1:80\"",
            "19:1 [[publish]] has no key 'too' [unknown key] -> did you mean 'to'?",
            "21:11 nothing from outside can be for 127.0.0.1 [unusable]",
            "27:11 10.20.30.9 is another member's already [a second time]",
        ],
    );
}

/// A specification with these lines behind it that cannot be: what is said of it once the World is known.
#[track_caller]
fn unresolved(lines: &str, world: &World, expected: &[&str]) {
    let text = format!(
        "[network.a]\nsubnets = [\"10.0.0.0/24\"]\nmember.m1 = {{}}\nmember.m2 = {{}}\n{}",
        lines.lines().map(str::trim_start).collect::<Vec<_>>().join("\n")
    );
    let (spec, found) = read(&text);
    assert_eq!(shown(&text, &found), "");
    let resolved = resolve(&spec.unwrap(), "lab", world);
    assert_eq!(shown(&text, &resolved.diagnostics).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn entrances_that_cannot_be_are_found_before_anything_changes() {
    let mut world = world("");
    let listener = |address: &str, port| crate::model::Listener {
        transport: crate::model::Transport::Tcp,
        address: address.parse().unwrap(),
        port,
        only_v6: false,
        link: None,
        control_group: None,
        queued: 0,
        queue_limit: 0,
    };
    world.namespaces[0].listeners = vec![listener("::", 22), listener("127.0.0.1", 25), listener("10.20.30.182", 53)];
    unresolved(
        "[[publish]]
        on = \":80-90/tcp\"
        to = \"m1\"
        [[publish]]
        on = \"10.20.30.182:85\"
        to = \"m2\"
        [[publish]]
        on = \":22\"
        to = \"m2\"
        [[publish]]
        on = \":25\"
        to = \"m2\"
        [[publish]]
        on = \"10.20.30.9:53\"
        to = \"m2\"
        [[publish]]
        on = \"[2001:db8::1]:80\"
        to = \"m2\"
        [[publish]]
        on = \":81/udp\"
        to = \"m3\"
        [[floating]]
        address = \"10.20.30.182\"
        to = \"m1\"
        [[floating]]
        address = \"203.0.113.9\"
        to = \"m1\"
        [[floating]]
        address = \"203.0.113.10\"
        to = \"m1\"
        uplink = \"eth3\"
        ",
        &world,
        &[
            "9:6 10.20.30.182:85/tcp is published already, as :80-90/tcp [a second time]",
            "12:6 a process of host listens on [::]:22/tcp, and nobody would reach it any longer [in use] -> publish another port, or end that process",
            "18:6 (warning) no gateway holds 10.20.30.9, so the port is reached only if it is routed here [held by nobody here]",
            "21:6 (warning) no gateway holds 2001:db8::1, so the port is reached only if it is routed here [held by nobody here]",
            "22:6 'm2' has no IPv6 address [of the other family]",
            "25:6 there is no member 'm3' [unknown member] -> name a member of one of the networks, or its address",
            "27:11 10.20.30.182 is an address of eth2 itself [in use] -> take another address, or publish single ports of this one",
            "30:11 203.0.113.9 is in no subnet of an uplink of gateway 'host' [outside] -> if it is routed here all the same, name the uplink: uplink = \"eth0\"",
            "35:10 gateway 'host' has no uplink 'eth3' [unknown uplink]",
        ],
    );
}

#[test]
fn what_cannot_be_allowed_is_said_at_its_place() {
    let text = r#"[network.red]
subnets = ["10.0.0.0/24"]
talks-to = ["gren"]
allow = ["fd00::/8"]
isolate-members = true
member.m1 = { rate = "0mbit" }
member.m2 = { rate = "fast" }
[network.green]
subnets = ["10.1.0.0/24"]
"#;
    refused(
        text,
        &[
            "3:13 there is no network 'gren' [unknown network] -> did you mean 'green'?",
            "4:10 network 'red' has no IPv6 subnet [of the other family]",
            "5:1 the members of 'red' are on no bridge [nothing to isolate] -> write kind = \"bridge\"; in a routed network, deny its own subnet",
            "6:22 nothing passes at such a rate [too slow] -> at least 8kbit; leave it out for no limit",
            "7:22 'fast' is not a rate [expected a rate] -> write it like \"100mbit\"",
        ],
    );
}
