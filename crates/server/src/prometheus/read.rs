//! Samples as others store them: remote read, and federation.

use axum::body::Body;
use axum::http::{HeaderValue, Response, header};
use base::label_order::sort_by_labels;
use base::{Error, MatchOp, Matcher, RegexRoom, Result};
use metrics::escaping::Escaping;
use metrics::raw;
use wire::Encoding;
use wire::remote_read::{Form, Match, Query, Response as ReadResponse, STREAMED, Stream, queries};

use super::{QueryOptions, Wanted, ask, left, query_options, time_of};
use crate::app::Call;
use crate::routes::Answer;

/// `POST /api/v1/read`: whole samples, or chunks in frames, as the client likes it.
pub(super) async fn read(mut call: Call) -> Answer {
    let received = call.read_body(crate::limits::FORM_BYTES).await?;
    let body = wire::encoding::decode(Encoding::SnappyBlock, &received.bytes, base::limits::BODY_DECOMPRESSED_BYTES)?;
    let mut room = RegexRoom::default();
    let asked = queries(&body)?;
    metrics::check_selectors(asked.len())?;
    let wanted = asked.iter().map(|q| Selection::of(q, &mut room)).collect::<Result<Vec<_>>>()?;
    let form = Form::accepted(&body)?;
    let (query, app, options) = (call.missing.clone(), call.app.clone(), query_options(&call));
    let made = left(&call, move |rows, tenant, cancel| {
        let (mut samples, mut stream) = (ReadResponse::default(), Stream::default());
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        let reader = raw::Reader::new(rows, tenant, &options);
        for (i, s) in wanted.iter().enumerate() {
            let mut found = reader.samples(&s.matchers, s.start_ms, s.end_ms)?;
            match form {
                Form::Samples => samples.result(found.iter().map(|s| (s.labels.iter(), &s.floats[..], &s.histograms[..]))),
                Form::Chunks => {
                    // Readers merge streams, for which they must all be in this order.
                    sort_by_labels(&mut found, |s| &s.labels);
                    for s in found {
                        let labels: Vec<(&str, &str)> = s.labels.iter().collect();
                        stream.series(i as u64, labels.iter().copied(), &s.floats, &s.histograms)?;
                    }
                }
            }
        }
        // This protocol has no warnings, and a hole would be taken for the truth.
        if !query.notes().is_empty() {
            return Err(Error::unavailable("some nodes do not answer, and this protocol cannot say that an answer is incomplete"));
        }
        app.keep(
            match form {
                Form::Samples => wire::encoding::encode(Encoding::SnappyBlock, &samples.finish())?,
                Form::Chunks => stream.finish(),
            },
            false,
        )
    });
    let made = made.await?;
    if form == Form::Chunks {
        return Ok(made.reply(STREAMED));
    }
    let mut r: Response<Body> = made.reply("application/x-protobuf");
    r.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("snappy"));
    Ok(r)
}

/// A query of remote read.
struct Selection {
    matchers: Vec<Matcher>,
    start_ms: i64,
    end_ms: i64,
}

impl Selection {
    fn of(q: &Query<'_>, room: &mut RegexRoom) -> Result<Self> {
        const OPS: [MatchOp; 4] = [MatchOp::Eq, MatchOp::Ne, MatchOp::Re, MatchOp::NotRe];
        let op = |n: u64| usize::try_from(n).ok().and_then(|i| OPS.get(i).copied());
        let matcher = |m: &Match<'_>| {
            let op = op(m.op).ok_or_else(|| Error::invalid("a matcher has an unknown type"))?;
            metrics::matcher(m.name, op, m.value, room)
        };
        let matchers = q.matchers.iter().map(matcher).collect::<Result<_>>()?;
        Ok(Selection { matchers, start_ms: q.start_ms, end_ms: q.end_ms })
    }
}

/// `GET /federate?match[]=`: the latest sample of each series, as text. Native histograms have no form in it and are left out. Whoever
/// asks for nothing gets nothing.
pub(super) async fn federate(mut call: Call) -> Answer {
    let params = call.params().await?;
    let wanted = Wanted::of(&params)?;
    let escaping = Escaping::accepted(call.header("accept").unwrap_or(""));
    let now_ms = time_of(&params, "time")?.unwrap_or_else(|| call.app.backend.clock().now_ms());
    let options = query_options(&call);
    let mut r = ask(&call, move |rows, tenant, cancel, _| {
        let options = QueryOptions { cancel: cancel.clone(), ..options };
        Ok(raw::federate(rows, tenant, &wanted.selectors, now_ms, escaping, &options)?.into_bytes().into())
    })
    .await?;
    let media_type = format!("text/plain; version=0.0.4; charset=utf-8; escaping={}", escaping.name());
    r.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::try_from(media_type).map_err(|e| Error::internal(e.to_string()))?);
    Ok(r)
}
