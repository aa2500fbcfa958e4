//! Surroundings that are not what a program is used to: variables, descriptors, limits.

use crate::{Case, World, handled, refused};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1"];
const LIST: &[&str] = &["list"];

pub fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let state = world.state.to_str().unwrap();
    let list =
        |name: &str| handled(format!("environment: {name}"), &["--state-dir", state, "list"], 0).says(&*world.run);
    for (variable, values) in [
        ("TZ", &["", "Nowhere/Never", ":/etc/passwd", "UTC+99", "../../../etc/passwd"][..]),
        ("LANG", &["", "xx_XX.UTF-9", "C", "tr_TR.UTF-8"]),
        ("LC_ALL", &["", "\u{1b}[2J"]),
        ("TERM", &["", "dumb", "nonsense", "\u{1b}[2J"]),
        ("COLUMNS", &["0", "-1", "99999999999999999999"]),
        ("NO_COLOR", &["1"]),
        ("RECOVER_LOG", &["", "nonsense", "trace", "\u{1b}[2J"]),
        ("RUST_BACKTRACE", &["full"]),
        ("HOME", &["", "relative", "/no/such", "/dev/null"]),
        ("XDG_STATE_HOME", &["", "relative"]),
        ("XDG_CONFIG_HOME", &["", "relative", "/dev/null"]),
        ("HTTP_PROXY", &["http://127.0.0.1:1"]),
        ("TMPDIR", &["/no/such"]),
    ] {
        for value in values {
            cases.push(list(&format!("{variable}={value:?}")).env(variable, value));
        }
    }
    cases.push(list("no HOME and no XDG").without("HOME").without("XDG_STATE_HOME"));
    for (value, error) in
        [("/no/such", "RCV0005"), ("@", "RCV0006"), ("/dev/null", "RCV0006"), ("\u{1b}[2J", "RCV0005")]
    {
        let case = refused(format!("environment: RECOVER_CONFIG={value:?}"), LIST, error, 64);
        cases.push(case.env("RECOVER_CONFIG", value));
    }
    for (value, error) in [("/no/such", "RCV0016"), ("@/none", "RCV0016"), ("\u{1b}[2J", "RCV0016")] {
        let case = refused(format!("environment: RECOVER_STATE_DIR={value:?}"), LIST, error, 64);
        cases.push(case.env("RECOVER_STATE_DIR", value));
    }
    let proxied = handled("environment: a proxy is not asked", &[&["plan"], GO].concat(), 0);
    let proxied = proxied.env("HTTP_PROXY", "http://127.0.0.1:1").env("http_proxy", "http://127.0.0.1:1");
    cases.push(proxied.env("ALL_PROXY", "http://127.0.0.1:1").config(&*world.config).says("observed"));

    let read = ["--state-dir", state, "list"];
    for (name, script) in [
        ("stdin is closed", "exec \"$0\" \"$@\" <&-"),
        ("stderr is closed", "exec \"$0\" \"$@\" 2>&-"),
        ("stdout is closed", "exec \"$0\" \"$@\" >&-"),
        ("nothing is open", "exec \"$0\" \"$@\" <&- >&- 2>&-"),
        ("stdout is full", "exec \"$0\" \"$@\" >/dev/full"),
        ("stderr is full", "exec \"$0\" \"$@\" 2>/dev/full"),
        ("stdout is a pipe that nobody reads", "\"$0\" \"$@\" | true"),
        ("no file may be written", "ulimit -f 0; exec \"$0\" \"$@\""),
        ("no core may be written", "ulimit -c 0; exec \"$0\" \"$@\""),
        ("SIGPIPE kills", "trap - PIPE; exec \"$0\" \"$@\""),
        ("signals are ignored", "trap '' INT TERM HUP PIPE; exec \"$0\" \"$@\""),
        ("eight descriptors", "ulimit -n 8; exec \"$0\" \"$@\""),
        ("a umask of 0", "umask 0; exec \"$0\" \"$@\""),
        ("a umask of 777", "umask 777; exec \"$0\" \"$@\""),
        ("a directory that is gone", "d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$0\" \"$@\""),
    ] {
        cases.push(handled(format!("reading when {name}"), &read, 0).shell(script));
    }
    let go = |name: &str, error, exit| refused(format!("starting when {name}"), GO, error, exit).config(&*world.config);
    // A write that fails is a journal that cannot be written, whatever the reason.
    cases.push(go("no file may be written", "RCV0020", 74).shell("ulimit -f 0; exec \"$0\" \"$@\""));
    cases.push(go("only small files may be written", "RCV0020", 74).shell("ulimit -f 100; exec \"$0\" \"$@\""));
    cases.push(go("eight descriptors are all there are", "RCV0037", 75).shell("ulimit -n 8; exec \"$0\" \"$@\""));
    let asks = |name: &str| handled(format!("starting when {name}"), GO, 4).config(&*world.config);
    for (name, script) in [
        ("stdin is closed", "exec \"$0\" \"$@\" <&-"),
        ("stderr is closed", "exec \"$0\" \"$@\" 2>&-"),
        ("stdout is closed", "exec \"$0\" \"$@\" >&-"),
        ("nothing is open", "exec \"$0\" \"$@\" <&- >&- 2>&-"),
        ("stdout is full", "exec \"$0\" \"$@\" >/dev/full"),
        ("a umask of 0", "umask 0; exec \"$0\" \"$@\""),
        ("a directory that is gone", "d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$0\" \"$@\""),
    ] {
        cases.push(asks(name).shell(script));
    }
    cases.push(asks("there is no terminal to ask on").says("next: recover approve"));
    cases
}
