//! Live tail over a websocket.

use serde_json::{Value, json};
use tungstenite::Message;
use tungstenite::client::IntoClientRequest;

use crate::harness::{NOW_NS, Server};
use crate::loki::push_json;

type Socket = tungstenite::WebSocket<std::net::TcpStream>;

fn open(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> Socket {
    let address = server.base.strip_prefix("http://").unwrap();
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    for (n, v) in headers {
        request.headers_mut().insert(*n, v.parse().unwrap());
    }
    let stream = std::net::TcpStream::connect(address).unwrap();
    tungstenite::client(request, stream).unwrap().0
}

/// The next message that is no sign of life.
fn next(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(t) = socket.read().unwrap() {
            return serde_json::from_str(&t).unwrap_or_else(|e| panic!("{e}: {t}"));
        }
    }
}

fn lines(message: &Value) -> Vec<String> {
    let streams = message["streams"].as_array().unwrap();
    streams.iter().flat_map(|s| s["values"].as_array().unwrap().clone()).map(|v| v[1].as_str().unwrap().to_owned()).collect()
}

#[test]
fn lines_come_as_they_arrive_after_the_last_ones() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"a"}"#, &[(-3, "one"), (-2, "two"), (-1, "three")]).ok();
    push_json(&server, &[], r#"{"app":"b"}"#, &[(-1, "of b")]).ok();
    // As Grafana opens it; a browser sends its origin.
    let path = "/loki/api/v1/tail?query=%7Bapp%3D%22a%22%7D&limit=2";
    let mut socket = open(&server, path, &[("origin", "https://grafana.example.com")]);
    assert_eq!(lines(&next(&mut socket)), ["two", "three"]);
    push_json(&server, &[], r#"{"app":"a"}"#, &[(5, "four")]).ok();
    let message = next(&mut socket);
    assert_eq!(message, json!({"streams": [{"stream": message["streams"][0]["stream"], "values": [[(NOW_NS + 5).to_string(), "four"]]}]}));
    // What is sent again is not new, what comes late is.
    push_json(&server, &[], r#"{"app":"a"}"#, &[(5, "four"), (4, "late")]).ok();
    assert_eq!(lines(&next(&mut socket)), ["late"]);
    socket.close(None).unwrap();
}

#[test]
fn without_a_history_only_what_is_new_comes() {
    let server = Server::plain();
    push_json(&server, &[], r#"{"app":"a"}"#, &[(-1, "old")]).ok();
    let mut socket = open(&server, "/loki/api/v1/tail?query=%7Bapp%3D%22a%22%7D&limit=0", &[]);
    push_json(&server, &[], r#"{"app":"a"}"#, &[(1, "new")]).ok();
    assert_eq!(lines(&next(&mut socket)), ["new"]);
}

#[test]
fn labels_are_categorised_when_asked() {
    let server = Server::plain();
    let mut socket = open(
        &server,
        "/loki/api/v1/tail?query=%7Bapp%3D%22a%22%7D%20%7C%20logfmt",
        &[("x-loki-response-encoding-flags", "categorize-labels")],
    );
    push_json(&server, &[], r#"{"app":"a"}"#, &[(1, "k=v")]).ok();
    let message = next(&mut socket);
    assert_eq!(message["streams"][0]["values"][0][2]["parsed"], json!({"k": "v"}));
    assert_eq!(message["encodingFlags"], json!(["categorize-labels"]));
}

#[test]
fn what_cannot_be_followed_is_refused_before_the_protocol_changes() {
    let server = Server::plain();
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    for bad in ["query=rate(%7Ba%3D%22b%22%7D%5B1m%5D)", "query=%7B", "query=%7Ba%3D%22b%22%7D&delay_for=6", ""] {
        let request = format!("ws://{address}/loki/api/v1/tail?{bad}").into_client_request().unwrap();
        let stream = std::net::TcpStream::connect(&address).unwrap();
        match tungstenite::client(request, stream) {
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(r))) => assert_eq!(r.status(), 400, "{bad}"),
            other => panic!("{bad}: {other:?}"),
        }
    }
}
