//! The configuration that `recover` uses on a sandbox.

use std::fmt::Write as _;

use crate::sandbox::error::Error;
use crate::sandbox::layout::{AGENT, Layout, text};

/// The text of `recover.toml`.
pub(crate) fn text_of(layout: &Layout, base: &str, connector: &[String]) -> Result<String, Error> {
    let quoted = |path: std::path::PathBuf| text(&path).and_then(|text| quote(&text));
    let command: Result<Vec<String>, Error> = connector.iter().map(|word| quote(word)).collect();
    let credential = quote(&format!("file:{}", text(&layout.credential())?))?;
    let mut out = String::from("# Made by `recover sandbox up`. It is made once: changes stay.\n");
    // Writing to a string cannot fail.
    let mut line = |key: &str, value: String| _ = writeln!(out, "{key} = {value}");
    line("state_dir", quoted(layout.state_dir())?);
    line("secrets_dir", quoted(layout.secrets()?)?);
    let _ = writeln!(
        out,
        "\n[policy]\nreprovision = \"allow\"\nenroll = \"allow\"\n\n[target.{AGENT}]\nkind = \"connector\"\ndefault = true"
    );
    let mut line = |key: &str, value: String| _ = writeln!(out, "{key} = {value}");
    line(
        "workload",
        format!(
            "{{ process = {{ command = [{}], pidfile = {}, log = {}, token_file = {} }} }}",
            command?.join(", "),
            quoted(layout.connector_pidfile())?,
            quoted(layout.connector_log())?,
            quoted(layout.token()?)?
        ),
    );
    line(
        "storage",
        format!(
            "{{ directory = {{ path = {}, originals = [{}], identity = \"{}\" }} }}",
            quoted(layout.data())?,
            quoted(layout.original())?,
            super::connector::IDENTITY
        ),
    );
    let base = quote(base)?;
    line("authority", format!("{{ http = {{ base = {base}, agent = \"{AGENT}\", credential = {credential} }} }}"));
    line("timing", "{ observe = \"1s\" }".to_owned());
    Ok(out)
}

/// The same text where the program that it starts the connector with is there no more, with this one in its place; none where that one
/// is there, or the text starts something else.
pub(crate) fn renewed(old: &str, program: &str) -> Result<Option<String>, Error> {
    const BEFORE: &str = "command = [";
    let Some(end) = old.find(", \"sandbox\", \"connector\",") else { return Ok(None) };
    let Some(start) = old.get(..end).and_then(|before| Some(before.rfind(BEFORE)? + BEFORE.len())) else {
        return Ok(None);
    };
    let (before, quoted, after) = (&old[..start], &old[start..end], &old[end..]);
    let named = toml::from_str::<toml::Table>(&format!("program = {quoted}")).ok();
    let named = named.as_ref().and_then(|table| table["program"].as_str());
    if named.is_none_or(|named| std::path::Path::new(named).exists()) {
        return Ok(None);
    }
    Ok(Some(format!("{before}{}{after}", quote(program)?)))
}

/// A TOML basic string. JSON's escapes are TOML's, but for DEL, which JSON leaves as it is.
fn quote(text: &str) -> Result<String, Error> {
    let quoted = serde_json::to_string(text).map_err(|error| Error::io("quote a path")(error.into()))?;
    Ok(quoted.replace('\u{7f}', "\\u007f"))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::sandbox::files;

    #[test]
    fn a_path_with_anything_in_it_stays_what_it_is() {
        for text in ["/plain", "/a \"b\" \\c", "/tab\tand\nline", "/\u{7f}\u{1}ü"] {
            let parsed: toml::Table = toml::from_str(&format!("x = {}", quote(text).expect("quotes"))).expect("parses");
            assert_eq!(parsed["x"].as_str(), Some(text));
        }
    }

    #[test]
    fn a_program_that_is_gone_is_replaced_and_every_other_change_stays() {
        let text = |program: &str| {
            format!(
                "# mine\nworkload = {{ process = {{ command = [{program}, \"sandbox\", \"connector\", \"-x\"] }} }}\n"
            )
        };
        let renewed = |program: &str| renewed(&text(program), "/new \"one\"").expect("quotes");
        assert_eq!(renewed("\"/nowhere/recover\""), Some(text("\"/new \\\"one\\\"\"")));
        assert_eq!(renewed("\"/bin/sh\""), None, "it is there");
        assert_eq!(renewed("gone"), None, "no word");
        assert_eq!(
            super::renewed("command = [\"/nowhere/own\"]", "/new").expect("quotes"),
            None,
            "a connector of somebody's own"
        );
    }

    #[test]
    fn the_configuration_parses_and_names_every_part() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let layout = Layout::create(&dir.path().join("sand box")).expect("is made");
        layout.furnish().expect("is furnished");
        let words = ["/bin/recover".to_owned(), "sandbox".to_owned()];
        let text = text_of(&layout, "http://127.0.0.1:9", &words).expect("is written");
        let config: toml::Table = toml::from_str(&text).expect("parses");
        let target = &config["target"][AGENT];
        assert_eq!(config["policy"]["reprovision"].as_str(), Some("allow"));
        assert_eq!(target["workload"]["process"]["command"].as_array().map(Vec::len), Some(2));
        assert_eq!(target["storage"]["directory"]["path"].as_str(), layout.data().to_str());
        assert_eq!(target["authority"]["http"]["base"].as_str(), Some("http://127.0.0.1:9"));
        assert_eq!(target["timing"]["observe"].as_str(), Some("1s"));
        let token = target["workload"]["process"]["token_file"].as_str().map(PathBuf::from).unwrap_or_default();
        let memory = token.parent().expect("has a folder").to_owned();
        assert!(memory.is_dir());
        files::remove_if_there(&token).expect("is removed");
        std::fs::remove_dir_all(&memory).expect("is removed");
    }
}
