//! Lists come in pages: some rows by their keys, and after which key the next page begins. Used by every list that can grow
//! without bound.

use std::fmt::Display;
use std::ops::Bound;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Query};
use domain::Table;
use domain::table::Row;
use http::request::Parts;
use serde::Deserialize;

use crate::extract::App;
use crate::problem::Problem;

/// Rows on a page where nothing is said, and at most.
pub(crate) const ROWS_DEFAULT: usize = 100;
pub(crate) const ROWS_MAX: usize = 1_000;

#[derive(Debug, Deserialize)]
struct Asked {
    after: Option<String>,
    limit: Option<usize>,
}

/// Which page is asked for.
pub(crate) struct Page {
    after: Option<String>,
    limit: usize,
}

/// What is on a page, and after which key the next one begins, if there is one.
pub(crate) type Cut<R> = (Vec<R>, Option<String>);

impl FromRequestParts<App> for Page {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let asked = Query::<Asked>::from_request_parts(parts, app).await;
        let Query(Asked { after, limit }) =
            asked.map_err(|e| Problem::bad_request("invalid_value", e.body_text()))?;
        let limit = limit.unwrap_or(ROWS_DEFAULT);
        if !(1..=ROWS_MAX).contains(&limit) {
            return Err(Problem::bad_param("limit", format!("ask for 1 to {ROWS_MAX} rows at once")));
        }
        Ok(Self { after, limit })
    }
}

impl Page {
    /// Where it begins.
    pub(crate) fn begin<K: FromStr<Err: Display>>(&self) -> Result<Bound<K>, Problem> {
        let Some(after) = &self.after else { return Ok(Bound::Unbounded) };
        let after = after.parse().map_err(|e: K::Err| Problem::bad_param("after", e.to_string()))?;
        Ok(Bound::Excluded(after))
    }

    /// What is on it, of rows from its beginning on.
    pub(crate) fn cut<'a, K: ToString + 'a, R>(&self, rows: impl Iterator<Item = (&'a K, R)>) -> Cut<R> {
        let mut rows: Vec<(&K, R)> = rows.take(self.limit + 1).collect();
        let more = rows.len() > self.limit;
        rows.truncate(self.limit);
        let next = rows.last().filter(|_| more).map(|(key, _)| key.to_string());
        (rows.into_iter().map(|(_, row)| row).collect(), next)
    }

    /// What is on it, of all rows of a table.
    pub(crate) fn of<'a, R: Row>(&self, table: &'a Table<R>) -> Result<Cut<&'a Arc<R>>, Problem>
    where
        R::Key: FromStr<Err: Display> + Display,
    {
        Ok(self.cut(table.from(self.begin()?)))
    }
}
