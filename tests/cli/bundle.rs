//! A run exported into one signed file, and that file verified with nothing else at hand.

use std::process::Command;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, recover, result, stderr};

/// A run that is over, and its id.
fn run(sandbox: &Sandbox) -> String {
    sandbox.lose(false);
    let output = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    result(&output)["run"].as_str().unwrap().to_owned()
}

fn json(output: &std::process::Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
}

#[test]
fn a_bundle_is_verified_with_nothing_but_the_file_and_the_key() {
    let sandbox = Sandbox::up();
    let run = run(&sandbox);
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("case.json");
    let file = out.to_str().unwrap();
    let exported = sandbox.recover(&["export", &run, "--out", file, "--output", "json"]);
    assert_eq!(code(&exported), 0, "{}", stderr(&exported));
    assert!(stderr(&exported).contains("a signing key was made"), "{}", stderr(&exported));
    let public = home.path().join("recover.pub");
    std::fs::write(&public, sandbox.recover(&["key"]).stdout).unwrap();
    assert_error(&sandbox.recover(&["export", &run, "--out", file]), "RCV0040", 74);

    // Whoever has the file has no configuration, no state directory and no control plane.
    let anywhere = |words: &[&str]| recover(home.path()).args(words).output().unwrap();
    let alone = anywhere(&["verify", file]);
    assert_eq!(code(&alone), 0, "{}", stderr(&alone));
    assert!(stderr(&alone).contains("and not by whom"), "{}", stderr(&alone));
    let with_key = anywhere(&["verify", file, "--key", public.to_str().unwrap(), "--output", "json"]);
    let line = json(&with_key);
    assert_eq!((&line["ok"], &line["key_was_brought"], &line["closed"]), (&true.into(), &true.into(), &true.into()));
    assert_eq!((&line["head"], &line["key"]), (&json(&exported)["head"], &json(&exported)["key"]));
    assert_eq!(line["run"], run.as_str());

    let replayed = anywhere(&["replay", file, "--output", "json"]);
    assert_eq!(code(&replayed), 0, "{}", stderr(&replayed));
    let lines = crate::lines(&replayed);
    let ended = lines.iter().find(|line| line["schema"] == "recover.result/v1").unwrap();
    assert_eq!((&ended["verdict"], &ended["commits"]), (&"recovered".into(), &Value::Null), "{ended}");
    assert_eq!(lines.last().unwrap()["head"], json(&exported)["head"]);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0, "the key is in nobody's way");

    // The report of the file is that of the journal, and on paper too.
    for form in ["--markdown", "--html"] {
        let (there, here) = (sandbox.recover(&["report", &run, form]), anywhere(&["report", file, form]));
        assert_eq!((code(&there), code(&here)), (0, 0), "{} {}", stderr(&there), stderr(&here));
        assert!(there.stdout == here.stdout && String::from_utf8_lossy(&here.stdout).contains("paired once"));
    }
    let page = home.path().join("case.html");
    let words = ["report", file, "--html", "--out", page.to_str().unwrap()];
    assert_eq!(code(&anywhere(&words)), 0);
    assert!(std::fs::read_to_string(&page).unwrap().ends_with("</html>\n"));
    assert_error(&anywhere(&words), "RCV0040", 74);
    assert_eq!(code(&anywhere(&["report", file])), 64, "one of the two forms is named");

    // The same by another program, in another language.
    let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/verify-bundle.py");
    let there = |program: &str| Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    let python = |file: &str| Command::new("python3").arg(&script).args([file]).arg(&public).output().unwrap();
    let speaks = there("python3") && Command::new("openssl").arg("version").output().is_ok_and(|o| o.status.success());
    if speaks {
        let told = python(file);
        let head = line["head"].as_str().unwrap().split(':').next_back().unwrap().to_owned();
        assert!(told.status.success(), "{}", stderr(&told));
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(text.starts_with(&run) && text.contains(&head), "{text} {line}");
    } else {
        println!("NOT RUN: python3 or openssl is not there");
    }

    // Another's key, and a file in which one character is another.
    let other = Sandbox::up();
    std::fs::write(&public, other.recover(&["key"]).stdout).unwrap();
    assert_error(&anywhere(&["verify", file, "--key", public.to_str().unwrap()]), "RCV0042", 7);
    let mut bytes = std::fs::read(&out).unwrap();
    let at = bytes.len() / 2;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    std::fs::write(&out, bytes).unwrap();
    assert_error(&anywhere(&["verify", file]), "RCV0041", 7);
    assert!(!speaks || !python(file).status.success(), "the other program finds it too");

    for (content, name) in [("", "empty.json"), ("{}", "other.json"), ("garbage", "garbage.json")] {
        std::fs::write(home.path().join(name), content).unwrap();
        assert_error(&anywhere(&["verify", home.path().join(name).to_str().unwrap()]), "RCV0041", 7);
    }
    assert_error(&anywhere(&["verify", home.path().join("none.json").to_str().unwrap()]), "RCV0041", 7);
    assert_error(&anywhere(&["verify", home.path().to_str().unwrap()]), "RCV0041", 7);
    // What begins as an id is a run, unless there is a file of that name: the one that an export makes by itself.
    assert_error(&sandbox.recover(&["verify", "run_../../etc/passwd"]), "RCV0007", 64);
    let named = sandbox.recovering(&["export", &run]).current_dir(home.path()).output().unwrap();
    assert_eq!(code(&named), 0, "{}", stderr(&named));
    let by_name =
        recover(home.path()).args(["verify", &format!("{run}.bundle.json")]).current_dir(home.path()).output();
    assert_eq!(code(&by_name.unwrap()), 0);
    assert_error(&sandbox.recover(&["export", &run, "--key", file, "--out", "/dev/null/x"]), "RCV0043", 64);
    assert_error(&sandbox.recover(&["verify", &run, "--key", file]), "RCV0002", 64);
}

#[test]
fn an_open_run_is_exported_as_one_and_a_key_of_openssl_signs_it() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();
    let asked = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    let run = result(&asked)["run"].as_str().unwrap().to_owned();
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (key, public, file) = (at("key.pem"), at("key.pub"), at("open.json"));
    let openssl = |words: &[&str]| Command::new("openssl").args(words).output();
    let words: Vec<&str> = match openssl(&["genpkey", "-algorithm", "ed25519", "-out", &key]) {
        Ok(made) if made.status.success() => {
            assert!(openssl(&["pkey", "-in", &key, "-pubout", "-out", &public]).unwrap().status.success());
            vec!["--key", &key]
        }
        // Without that program the state directory's own key does.
        Ok(_) | Err(_) => {
            std::fs::write(&public, sandbox.recover(&["key"]).stdout).unwrap();
            Vec::new()
        }
    };
    let exported = sandbox.recover(&[&["export", &run, "--out", &file], &words[..]].concat());
    assert_eq!(code(&exported), 0, "{}", stderr(&exported));
    assert!(String::from_utf8_lossy(&exported.stdout).contains("still open"));
    let verified = recover(home.path()).args(["verify", &file, "--key", &public, "--output", "json"]).output().unwrap();
    assert_eq!((code(&verified), &json(&verified)["closed"]), (0, &false.into()), "{}", stderr(&verified));
}
