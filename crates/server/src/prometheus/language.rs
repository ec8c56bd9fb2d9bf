//! Queries as text and as a tree. Only what can be asked is written out: types are checked as for an answer.

use metrics::{promql, response};

use super::query_text;
use crate::app::{Call, json};
use crate::routes::Answer;

/// `GET|POST /api/v1/format_query`: the query written out evenly.
pub(super) async fn format_query(mut call: Call) -> Answer {
    let text = query_text(&call.params().await?)?;
    let pretty = promql::pretty(&promql::checked(&text)?);
    Ok(json(response::envelope(&[], &[], |out| response::text(&pretty, out.open())).into_bytes()))
}

/// `GET|POST /api/v1/parse_query`: the query's tree.
pub(super) async fn parse_query(mut call: Call) -> Answer {
    let text = query_text(&call.params().await?)?;
    let tree = promql::tree(&promql::checked(&text)?).to_string();
    Ok(json(response::envelope(&[], &[], |out| out.open().extend(tree.bytes())).into_bytes()))
}
