//! Completions and manual pages say what the command line understands.

use std::process::Command;

use crate::sandbox::RECOVER;

fn said(words: &[&str]) -> String {
    let output = Command::new(RECOVER).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// What bash would offer after these words, with the script that `recover` prints.
fn offered(words: &[&str]) -> Vec<String> {
    let script = said(&["completions", "bash"]);
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("recover");
    std::fs::write(&file, script).unwrap();
    let line = words.join(" ");
    let asking = format!(
        "source {}; COMP_WORDS=({line}); [ {} = 1 ] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); COMP_LINE='{line}'; \
         _recover recover \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        file.display(),
        u8::from(line.ends_with(' ')),
    );
    let output = Command::new("bash").args(["--norc", "-c", &asking]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn a_shell_completes_what_is_understood() {
    assert_eq!(offered(&["recover", "supp"]), ["support-bundle"]);
    assert_eq!(offered(&["recover", "--scen"]), ["--scenario"]);
    assert!(offered(&["recover", "journal", "sal"]).contains(&"salvage".to_owned()));
    for shell in ["zsh", "fish"] {
        assert!(said(&["completions", shell]).contains("support-bundle"), "{shell}");
    }
    let unknown = Command::new(RECOVER).args(["completions", "tcsh"]).output().unwrap();
    assert_eq!(unknown.status.code(), Some(64));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let page = said(&["man"]);
    assert!(page.contains(".TH") && page.contains("support\\-bundle") && page.contains("Exit codes"), "{page}");
    let home = tempfile::tempdir().unwrap();
    said(&["man", "--dir", home.path().to_str().unwrap()]);
    let pages: Vec<String> =
        std::fs::read_dir(home.path()).unwrap().map(|page| page.unwrap().file_name().into_string().unwrap()).collect();
    for name in ["recover.1", "recover-diagnose.1", "recover-support-bundle.1", "recover-journal-salvage.1"] {
        assert!(pages.iter().any(|page| page == name), "{name}: {pages:?}");
    }
    let nowhere = Command::new(RECOVER).args(["man", "--dir", "/nowhere/at/all"]).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(74));
}
