use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// `a=1 b=two` and a few that are no texts.
struct Row(BTreeMap<String, String>);

impl Row {
    fn of(text: &str) -> Row {
        Row(text.split_whitespace().map(|p| p.split_once('=').expect(p)).map(|(k, v)| (k.into(), v.into())).collect())
    }
}

impl Data for Row {
    fn field(&self, name: &str) -> Option<Value<'_>> {
        match name {
            "List" => Some(Value::list(vec![Value::text("x"), Value::text("y")])),
            "Two" => Some(Value::Int(2)),
            "Half" => Some(Value::Float(0.5)),
            "Map" => Some(Value::Map(std::rc::Rc::new([("k".to_owned(), Value::Int(1))].into()))),
            _ => self.0.get(name).map(|v| Value::text(v)),
        }
    }
    fn context(&self, name: &str) -> Option<Value<'_>> {
        (name == "__timestamp__").then_some(Value::Time(1_679_577_215_500_000_000))
    }
    fn all(&self) -> Vec<(String, Value<'_>)> {
        self.0.iter().map(|(k, v)| (k.clone(), Value::text(v))).collect()
    }
}

const WITH_TIME: Functions = Functions { context: &["__timestamp__"], ..functions::PIPELINE };

fn fill(template: &str, data: &str) -> Result<String, String> {
    let t = Template::parse(template, &WITH_TIME).map_err(|e| e.message)?;
    let mut out = String::new();
    t.execute(&Row::of(data), &mut out).map(|()| out)
}

/// Template, data, result; the results are what Go's package gives.
const CASES: &[(&str, &str, &str)] = &[
    ("plain {text} }}", "", "plain {text} }}"),
    ("a {{ .x }}-{{.y}} b", "x=1 y=2", "a 1-2 b"),
    ("{{ .none }}", "", "<no value>"),
    ("{{ . }}", "b=2 a=1", "map[a:1 b:2]"),
    ("a  {{- .x -}}  b", "x=1", "a1b"),
    ("a {{/* no */}} b{{- /* trimmed */ -}} c", "", "a  bc"),
    ("{{ `raw \\n` }}{{ \"esc\\t\" }}{{ 'A' }}{{ 1.50 }}{{ true }}{{ 0x10 }}", "", "raw \\nesc\t651.5true16"),
    // Pipes: what comes through is the last argument.
    ("{{ .x | ToUpper }}", "x=ab", "AB"),
    ("{{ .x | replace \"a\" \"b\" | printf \"%s-%s\" .y }}", "x=aa y=q", "q-bb"),
    ("{{ Replace .x \"a\" \"b\" 1 }}", "x=aaa", "baa"),
    ("{{ (printf \"%s!\" .x) | len }}", "x=ab", "3"),
    // Control.
    ("{{ if eq .x \"1\" }}one{{ else if eq .x \"2\" }}two{{ else }}many{{ end }}", "x=2", "two"),
    ("{{ if .none }}y{{ else }}n{{ end }}", "", "n"),
    ("{{ if and .x (not .none) }}y{{ end }}", "x=1", "y"),
    ("{{ or .none .x \"d\" }}", "x=1", "1"),
    ("{{ with .x }}[{{ . }}{{ $.y }}]{{ else }}none{{ end }}", "x=1 y=2", "[12]"),
    ("{{ with $v := .x }}{{ $v }}{{ end }}", "x=1", "1"),
    ("{{ range .List }}<{{ . }}>{{ end }}", "", "<x><y>"),
    ("{{ range $i, $e := .List }}{{ $i }}{{ $e }}{{ end }}", "", "0x1y"),
    ("{{ range $k, $v := . }}{{ $k }}={{ $v }};{{ end }}", "b=2 a=1", "a=1;b=2;"),
    ("{{ range .none }}x{{ else }}empty{{ end }}", "", "empty"),
    ("{{ range $i := 3 }}{{ if eq $i 1 }}{{ continue }}{{ end }}{{ $i }}{{ end }}", "", "02"),
    ("{{ range .List }}{{ . }}{{ break }}{{ end }}", "", "x"),
    ("{{ $a := 1 }}{{ if true }}{{ $a = 2 }}{{ end }}{{ $a }}", "", "2"),
    ("{{ $a := 1 }}{{ if true }}{{ $a := 2 }}{{ $a }}{{ end }}{{ $a }}", "", "21"),
    ("{{ .Map.k }}{{ index .Map \"k\" }}{{ index .List 1 }}{{ slice .x 1 2 }}", "x=abc", "11yb"),
    // Printing.
    ("{{ print 1 2 \"a\" 3 4 }}", "", "1 2a3 4"),
    ("{{ printf \"%5.1f|%-4d|%04d|%x|%q|%v|%t|%%\" .Half .Two .Two 255 \"a\" nil true }}", "", "  0.5|2   |0002|ff|\"a\"|<nil>|true|%"),
    ("{{ printf \"%d %s\" \"a\" }}", "", "%!d(string=a) %!s(MISSING)"),
    ("{{ printf \"%g %.3g %e %+d\" 1e21 1234567.0 12345.678 5 }}", "", "1e+21 1.23e+06 1.234568e+04 +5"),
    (
        "{{ 1e20 }} {{ 1e6 }} {{ 1234567.5 }} {{ 654321.5 }} {{ 0.0001 }} {{ 0.00001 }} {{ 3.0 }}",
        "",
        "1e+20 1e+06 1.2345675e+06 654321.5 0.0001 1e-05 3",
    ),
    ("{{ bytes .x }} {{ 1000000 }} {{ addf 0.1 0.2 }} {{ divf 20.2 5.25 }}", "x=3MB", "3e+06 1000000 0.3 3.8476190476190477"),
    // Functions.
    ("{{ regexReplaceAll \"(a+)(b)\" .x \"${2}-$1\" }}", "x=aab.ab", "b-aa.b-a"),
    ("{{ regexReplaceAllLiteral \"a\" .x \"$1\" }}", "x=aba", "$1b$1"),
    ("{{ .x | count \"a\" }} {{ regexMatch \"^a\" .x }}", "x=aba", "2 true"),
    ("{{ .x | trunc 2 }}{{ .x | trunc -2 }}{{ substr 1 3 .x }}", "x=abcde", "abdebc"),
    ("{{ Trim .x \"-\" }}{{ TrimLeft .x \"-\" }}{{ TrimSuffix .x \"--\" }}{{ trimPrefix \"-\" .x }}", "x=--a--", "aa----a-a--"),
    ("{{ add 1 2 .x }} {{ div 7 2 }} {{ mod 7 2 }} {{ divf 1 4 }} {{ max 1 5 3 }} {{ round 2.345 2 }}", "x=3", "6 3 1 0.25 5 2.35"),
    ("{{ default \"d\" .none }} {{ \"\" | default \"e\" }} {{ ternary \"a\" \"b\" true }}", "", "d e a"),
    ("{{ .x | lower | title | indent 2 }}", "x=AB", "  Ab"),
    ("{{ alignLeft 4 .x }}|{{ alignRight 4 .x }}|{{ alignRight 1 .x }}", "x=ab", "ab  |  ab|b"),
    ("{{ urlencode .x }} {{ urldecode \"a%20b+c\" }}", "x=a/b&c", "a%2Fb%26c a b c"),
    ("{{ join \"-\" (splitList \",\" .x) }} {{ repeat 3 \"ab\" }}", "x=1,2", "1-2 ababab"),
    (
        "{{ __timestamp__ }} {{ __timestamp__ | date \"2006-01-02\" }} {{ __timestamp__ | unixEpochMillis }}",
        "",
        "2023-03-23 13:13:35.5 +0000 UTC 2023-03-23 1679577215500",
    ),
    ("{{ duration .x }} {{ bytes .y }}", "x=1m30s y=2KiB", "90 2048"),
    ("{{ b64enc .x }} {{ b64enc \"ab\" | b64dec }} {{ b64dec \"Zm9vYmE\" }} {{ b64dec \"YQ==\" }}", "x=abc", "YWJj ab fooba a"),
    (
        "{{ with fromJson .x }}{{ .a }} {{ index .b 1 }} {{ .n }}{{ end }}",
        r#"x={"a":1.5,"b":["x","y\u0041"],"n":null}"#,
        "1.5 yA <no value>",
    ),
    (
        "{{ toDateInZone \"2006-01-02T15:04\" \"Asia/Seoul\" .x | unixEpoch }} {{ toDateInZone \"2006-01-02T15:04Z07:00\" \"Asia/Seoul\" .y | unixEpoch }}",
        "x=2023-01-01T09:00 y=2023-01-01T09:00Z",
        "1672531200 1672563600",
    ),
    // Digests of a known text: the SHA-3 and the SHA-2 of `ab`.
    ("{{ Hash \"a\" .x }}", "x=b", "5c828b33397f4762922e39a60c35699d2550466a52dd15ed44da37eb0bdc61e6"),
    ("{{ Sha2Hash \"a\" .x }}", "x=b", "fb8e20fc2e4c3f248c60c39bd652f3c1347298bb977b8b4d5903b85055620603"),
];

#[test]
fn templates_are_filled_in_as_go_does() {
    for (template, data, want) in CASES {
        assert_eq!(fill(template, data).as_deref(), Ok(*want), "{template}");
    }
}

#[test]
fn what_is_wrong_is_said_when_the_template_is_read() {
    for (template, wanted, place) in [
        ("{{ .x", "expected }}", 5),
        ("{{ }}", "missing value", 3),
        ("a{{ if .x }}b", "{{end}} is missing", 13),
        ("{{ end }}", "unexpected {{end}}", 3),
        ("{{ $x }}", "undefined variable", 3),
        ("{{ ToUper .x }}", "function \"ToUper\" not defined", 3),
        ("{{ ToUpper }}", "wrong number of args for ToUpper: want 1 got 0", 3),
        ("{{ regexMatch \"(\" .x }}", "invalid regular expression", 3),
        ("{{ template \"a\" }}", "not supported", 3),
        ("{{ break }}", "outside {{range}}", 3),
        ("{{ .x .y }}", "only a function takes arguments", 3),
        ("{{ (.x }}", "unclosed left parenthesis", 3),
        ("{{ \"a }}", "not closed", 3),
        ("{{if .a}}{{else}}{{else}}{{end}}", "another {{else}}", 19),
    ] {
        let e = Template::parse(template, &functions::PIPELINE).unwrap_err();
        assert!(e.message.contains(wanted), "{template}: {}", e.message);
        assert_eq!(e.span.start, place, "{template}");
    }
    let e = Template::parse("{{ ToUper .x }}", &functions::PIPELINE).unwrap_err();
    assert_eq!(e.hint.as_deref(), Some("did you mean ToUpper?"));
}

#[test]
fn what_goes_wrong_while_it_is_filled_in_is_said() {
    for (template, wanted) in [
        ("{{ ToUpper .none }}", "expected string; found nil"),
        ("{{ lt .x 1 }}", "incompatible types"),
        ("{{ .x.y }}", "can't evaluate field y in type string"),
        ("{{ div 1 0 }}", "divide by zero"),
        ("{{ index .List 9 }}", "out of range"),
        ("{{ range .x }}{{ end }}", "can't iterate over string"),
        ("{{ repeat 99999999 \"abc\" }}", "longer than"),
        ("{{ range $i := 1000000 }}{{ range $j := 1000000 }}{{ end }}{{ end }}", "steps"),
        ("{{ range $i := 90000 }}{{ $.x }}{{ printf \"%900d\" 1 }}{{ end }}", "longer than"),
        ("{{ printf \"%99999999999999999999d\" 1 }}", "longer than"),
        ("{{ regexMatch (print \"(\") .x }}", "unclosed group"),
        ("{{ b64dec \"a!\" }}", "not text in base 64"),
        ("{{ b64dec \"a\" }}", "not text in base 64"),
        ("{{ fromJson \"[1,\" }}", "a value is missing"),
        ("{{ fromJson \"{} x\" }}", "more text"),
        ("{{ fromJson (repeat 500 \"[\") }}", "too deep"),
        ("{{ toDateInZone \"2006\" \"Not/There\" \"2020\" }}", "unknown time zone"),
    ] {
        let e = fill(template, "x=1").unwrap_err();
        assert!(e.contains(wanted), "{template}: {e}");
    }
}

#[test]
fn depth_is_bounded() {
    for (open, close) in [("{{if 1}}", "{{end}}"), ("{{ (", ") }}"), ("{{ if 1 }}{{ else if 1 }}", "")] {
        assert!(Template::parse(&format!("{}{}", open.repeat(5_000), close.repeat(5_000)), &functions::PIPELINE).is_err());
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(5_000), ")".repeat(5_000));
    assert!(Template::parse(&deep, &functions::PIPELINE).is_err());
}

#[test]
fn the_names_that_are_read_are_known() {
    let names = |t: &str| {
        let mut found = vec![];
        let known = Template::parse(t, &functions::PIPELINE).unwrap().names(|n| found.push(n.to_owned()));
        (found.join(" "), known)
    };
    assert_eq!(names("{{ .a }}{{ if .b }}{{ ToUpper $.c }}{{ end }}"), ("a b c".into(), true));
    assert_eq!(names("{{ .a }}{{ . }}"), ("a".into(), false));
}

/// What memory there is must not decide how these end, nor the stack.
#[test]
fn what_is_held_on_the_way_is_bounded() {
    let times = |n: usize, t: &str| t.repeat(n);
    let many = |n: usize, t: &str| (0..n).map(|i| t.replace('N', &i.to_string())).collect::<String>();
    for (what, template) in [
        ("deep", "{{ $l := list 1 }}{{ range 30000 }}{{ $l = list $l }}{{ end }}".to_owned()),
        ("doubled", "{{ $l := list 1 1 }}".to_owned() + &times(40, "{{ $l = list $l $l }}") + "{{ $l }}"),
        ("equal", "{{ $l := list 1 1 }}".to_owned() + &times(40, "{{ $l = list $l $l }}") + "{{ eq $l (list $l) }}"),
        ("variables", many(100, r#"{{ $xN := repeat 1000000 "x" }}"#)),
        ("lists in variables", r#"{{ $t := repeat 200000 "x" }}"#.to_owned() + &many(100, r#"{{ $xN := splitList "" $t }}"#)),
        ("arguments", r#"{{ $x := repeat 1000000 "x" }}{{ list "#.to_owned() + &times(5000, "$x ") + "}}"),
        ("results", r#"{{ list "#.to_owned() + &times(100, r#"(repeat 1000000 "x") "#) + "}}"),
        ("split", r#"{{ splitList "" (repeat 1000000 "x") | len }}"#.to_owned()),
        ("split by a pattern", r#"{{ regexSplit "" (repeat 1000000 "x") -1 | len }}"#.to_owned()),
        ("json", r#"{{ printf "[%s1]" (repeat 400000 "1,") | fromJson | len }}"#.to_owned()),
        ("groups", r#"{{ regexReplaceAll ".*" (repeat 1000000 "x") ""#.to_owned() + &times(30_000, "$0") + "\" }}"),
        ("cat", r#"{{ $x := repeat 1000000 "x" }}{{ cat "#.to_owned() + &times(10, "$x ") + "}}"),
        ("extra", r#"{{ $x := repeat 1000000 "x" }}{{ printf "" "#.to_owned() + &times(10, "$x ") + "}}"),
    ] {
        assert!(fill(&template, "").is_err(), "{what}");
    }
    let fine = r#"{{ $x := "" }}{{ range 1000 }}{{ $x = repeat 100000 "x" }}{{ end }}{{ len (splitList "" $x) }} {{ Trim $x "yx" }}"#;
    assert_eq!(fill(fine, "").unwrap(), "100001 ".replace("100001", &"x".repeat(100_000).split("").count().to_string()));
}

/// Data that somebody waits for so many steps long.
struct Patient(std::cell::Cell<usize>);

impl Data for Patient {
    fn field(&self, _: &str) -> Option<Value<'_>> {
        None
    }
    fn all(&self) -> Vec<(String, Value<'_>)> {
        vec![]
    }
    fn goes_on(&self) -> bool {
        self.0.replace(self.0.get().saturating_sub(1)) > 0
    }
}

/// Each of these would take minutes.
#[test]
fn an_execution_ends_when_nobody_waits_for_it() {
    for template in [
        r#"{{ $x := repeat 1000000 "a" }}{{ range 90000 }}{{ $y := $x | lower | upper | lower | upper }}{{ end }}"#,
        // Every search goes to the end of the text, and finds one letter.
        r#"{{ count ".*[^A-Z]|[A-Z]" (repeat 1000000 "A") }}"#,
        r#"{{ regexReplaceAll ".*[^A-Z]|[A-Z]" (repeat 1000000 "A") "b" }}"#,
        r#"{{ regexSplit ".*[^A-Z]|[A-Z]" (repeat 1000000 "A") -1 }}"#,
    ] {
        let mut out = String::new();
        let template = Template::parse(template, &functions::PIPELINE).unwrap();
        let ended = template.execute(&Patient(50.into()), &mut out);
        assert!(ended.unwrap_err().contains("it was stopped"));
    }
}

/// Pieces that meet in templates more often than random characters do.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{{",
        "}}",
        " -}}",
        "{{- ",
        ".",
        ".a",
        "$",
        "$x",
        ":=",
        "=",
        "|",
        "(",
        ")",
        "if ",
        "else ",
        "end",
        "range ",
        "with ",
        "break",
        "\"t\"",
        "`r`",
        "'c'",
        "1",
        "-2.5e3",
        "printf ",
        "\"%*d%z\"",
        "repeat ",
        "regexMatch ",
        "\"(\"",
        "index ",
        "and ",
        "nil",
        "é",
        "\n",
        "/*",
        "*/",
        ",",
        " ",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|p| p.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_template_makes_it_panic(text in pieces()) {
        for t in [text.clone(), format!("{{{{ {text} }}}}")] {
            if let Ok(t) = Template::parse(&t, &functions::PIPELINE) {
                let mut out = String::new();
                let _ = t.execute(&Row::of("a=1"), &mut out);
                prop_assert!(out.len() <= crate::limits::TEMPLATE_OUTPUT);
            }
        }
    }
}
