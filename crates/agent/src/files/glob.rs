//! Patterns of paths, and the walk that finds what they match.
//!
//! `*` and `?` stay within a name, `[a-z]` and `[!a-z]` are classes, `{a,b}` are alternatives, `**` as a whole name stands
//! for any number of directories. A leading dot needs no special care.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use base::{Error, Result};
use regex::Regex;

use crate::limits;

/// A compiled pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    text: String,
    whole: Regex,
    parts: Vec<Part>,
}

#[derive(Clone, Debug)]
enum Part {
    Name(String),
    Pattern(Regex),
    AnyDepth,
}

impl Glob {
    /// Compiles an absolute path pattern; for [`Glob::matches`] alone also a bare name pattern, which then matches in any
    /// directory.
    pub fn new(text: &str) -> Result<Glob> {
        let bad = |why: String| Error::invalid(format!("path pattern {text:?} is not valid: {why}"));
        let compile = |re: String| Regex::new(&format!("^(?s:{re})$")).map_err(|e| bad(e.to_string()));
        let mut parts = vec![];
        let mut whole = String::new();
        for name in text.split('/').filter(|n| !n.is_empty()) {
            if name == "**" {
                parts.push(Part::AnyDepth);
                whole.push_str("(?:/[^/]*)*");
                continue;
            }
            let re = translate(name).map_err(&bad)?;
            whole.push('/');
            whole.push_str(&re);
            let plain = !name.contains(['*', '?', '[', '{', '\\']);
            parts.push(if plain { Part::Name(name.into()) } else { Part::Pattern(compile(re)?) });
        }
        if parts.is_empty() {
            return Err(bad("it is empty".into()));
        }
        if !text.starts_with('/') {
            whole = format!(".*{whole}");
        }
        Ok(Glob { text: text.into(), whole: compile(whole)?, parts })
    }

    /// Whether the pattern starts at the root, which a walk needs.
    pub fn is_absolute(&self) -> bool {
        self.text.starts_with('/')
    }

    /// Whether the whole path matches.
    pub fn matches(&self, path: &Path) -> bool {
        self.whole.is_match(&path.to_string_lossy())
    }
}

/// One name of a pattern as a regular expression.
fn translate(name: &str) -> std::result::Result<String, String> {
    let mut re = String::new();
    let (mut depth, mut chars) = (0, name.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '*' => re.push_str("[^/]*"),
            '?' => re.push_str("[^/]"),
            '{' => {
                depth += 1;
                re.push_str("(?:");
            }
            '}' if depth > 0 => {
                depth -= 1;
                re.push(')');
            }
            ',' if depth > 0 => re.push('|'),
            '[' => {
                let not = chars.next_if(|&c| c == '!' || c == '^').is_some();
                re.push_str(if not { "[^/" } else { "[" });
                let mut closed = false;
                for (i, c) in chars.by_ref().enumerate() {
                    match c {
                        ']' if i > 0 => {
                            closed = true;
                            break;
                        }
                        '-' => re.push('-'),
                        c => re.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])).replace('~', "\\~")),
                    }
                }
                if !closed {
                    return Err("a [ is not closed".into());
                }
                re.push(']');
            }
            '\\' => re.push_str(&regex::escape(&chars.next().ok_or("it ends with a backslash")?.to_string())),
            c => re.push_str(&regex::escape(&c.to_string())),
        }
    }
    if depth > 0 {
        return Err("a { is not closed".into());
    }
    Ok(re)
}

/// What a walk found.
#[derive(Default)]
pub struct Walk {
    /// Regular files (links followed), in path order.
    pub files: BTreeMap<PathBuf, Metadata>,
    /// Directory entries looked at.
    pub entries: usize,
}

impl Walk {
    /// Adds what `glob` matches. Directories that cannot be read hold nothing; links to directories are followed where a
    /// name of the pattern leads through them, not by `**`.
    pub fn add(&mut self, glob: &Glob) {
        self.descend(PathBuf::from("/"), &glob.parts, 0);
    }

    /// Whether the bound on entries ended the walk early.
    pub fn is_cut_short(&self) -> bool {
        self.entries >= limits::DIR_ENTRIES
    }

    fn descend(&mut self, at: PathBuf, parts: &[Part], depth: usize) {
        if self.is_cut_short() {
            return;
        }
        let Some((part, rest)) = parts.split_first() else {
            if let Ok(m) = fs::metadata(&at)
                && m.is_file()
            {
                self.files.insert(at, m);
            }
            return;
        };
        match part {
            Part::Name(n) => {
                self.entries += 1;
                self.descend(at.join(n), rest, depth);
            }
            Part::Pattern(re) => {
                for e in self.list(&at) {
                    if re.is_match(&e.file_name().to_string_lossy()) {
                        self.descend(e.path(), rest, depth);
                    }
                }
            }
            Part::AnyDepth => {
                if rest.is_empty() {
                    // A last `**` means every file below.
                    for e in self.list(&at).into_iter().filter(|e| e.file_type().is_ok_and(|t| !t.is_dir())) {
                        self.descend(e.path(), rest, depth);
                    }
                } else {
                    self.descend(at.clone(), rest, depth);
                }
                if depth < limits::GLOB_DEPTH {
                    for e in self.list(&at).into_iter().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())) {
                        self.descend(e.path(), parts, depth + 1);
                    }
                }
            }
        }
    }

    fn list(&mut self, dir: &Path) -> Vec<fs::DirEntry> {
        let Ok(entries) = fs::read_dir(dir) else { return vec![] };
        let room = limits::DIR_ENTRIES.saturating_sub(self.entries);
        let out: Vec<_> = entries.take(room).flatten().collect();
        self.entries += out.len();
        out
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // they play the programs that write the files we read
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_paths() {
        let yes = [
            ("/var/log/*.log", "/var/log/a.log"),
            ("/var/log/**/*.log", "/var/log/a.log"),
            ("/var/log/**/*.log", "/var/log/x/y/a.log"),
            ("/var/log/**", "/var/log/x/y"),
            ("/a/{b,c}?.[0-9]", "/a/cx.7"),
            ("/a/[!b]x", "/a/cx"),
            ("/a/\\*", "/a/*"),
            ("*.gz", "/var/log/a.gz"),
            ("/a+b/(x)", "/a+b/(x)"),
        ];
        for (g, p) in yes {
            assert!(Glob::new(g).unwrap().matches(Path::new(p)), "{g} {p}");
        }
        let no = [
            ("/var/log/*.log", "/var/log/x/a.log"),
            ("/var/log/*.log", "/var/log/a.log.1"),
            ("/a/[!b]x", "/a/bx"),
            ("/a/{b,c}", "/a/d"),
            ("*.gz", "/a.gz/b"),
        ];
        for (g, p) in no {
            assert!(!Glob::new(g).unwrap().matches(Path::new(p)), "{g} {p}");
        }
        for bad in ["", "/", "/a/[b", "/a/{b", "/a/\\"] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_walk_finds_files_below() {
        let dir = tempfile::tempdir().unwrap();
        let d = dir.path();
        fs::create_dir_all(d.join("x/y")).unwrap();
        for f in ["a.log", "b.txt", "x/c.log", "x/y/d.log"] {
            fs::write(d.join(f), "").unwrap();
        }
        std::os::unix::fs::symlink(d, d.join("x/loop")).unwrap();
        let found = |pattern: &str| {
            let mut w = Walk::default();
            w.add(&Glob::new(&format!("{}/{pattern}", d.display())).unwrap());
            w.files.keys().map(|p| p.strip_prefix(d).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("*.log"), ["a.log"]);
        assert_eq!(found("**/*.log"), ["a.log", "x/c.log", "x/y/d.log"]);
        assert_eq!(found("x/**"), ["x/c.log", "x/y/d.log"]);
        assert_eq!(found("x/loop/b.*"), ["x/loop/b.txt"]);
        assert_eq!(found("nothing/*"), Vec::<String>::new());
    }
}
