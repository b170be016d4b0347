//! How old the picture is: for each kind, the age of its last complete listing.
//!
//! For metrics, after every run, whatever became of it: a worker that runs and achieves nothing looks healthy by any
//! other measure. By the database's clock. It judges nothing: what is too old is the alarm's to say.

use crate::database::Pool;
use crate::kinds::PROVIDER;

/// One kind's age.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Age {
    /// The kind.
    pub kind: String,
    /// Seconds since its last complete listing was begun; `None`: there was none.
    pub seconds: Option<i64>,
}

/// The ages of these kinds, in their order.
///
/// # Errors
/// When the database cannot be used.
pub async fn ages(pool: &Pool, kinds: &[&str]) -> Result<Vec<Age>, sqlx::Error> {
    sqlx::query_as!(
        Age,
        r#"SELECT k.kind AS "kind!",
                  EXTRACT(EPOCH FROM clock_timestamp() - m.last_complete_at)::bigint AS seconds
           FROM unnest($2::text[]) WITH ORDINALITY AS k(kind, place)
           LEFT JOIN sync_markers m ON m.provider = $1 AND m.kind = k.kind
           ORDER BY k.place"#,
        PROVIDER,
        kinds as _
    )
    .fetch_all(pool)
    .await
}
