//! `.sqlx`: what the checked queries are compiled against where no database is.
//!
//! `make prepare` writes it, `make check` holds it against the migrations. Writing compiles `shared` once more
//! against a freshly migrated database, in a target folder of its own, and the macros leave one file per query;
//! checking asks the database to describe each committed query again and takes a second. This room compiles
//! without `shared`, whose queries may be broken just then, and so applies the migrations itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::migrate::Migrator;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqlSafeStr};

use crate::failure::{Doing, Failure};
use crate::place;
use crate::postgres::{Database, Server, make_logins};

/// Compiles `shared` against a database and replaces `.sqlx`. Answers with a sentence for people.
pub async fn write(say: &dyn Fn(&str)) -> Result<String, Failure> {
    let server = Server::start(None, say).await?;
    let database = migrated(&server).await?;
    let fresh = place::local("prepared")?;
    let _ = fs::remove_dir_all(&fresh);
    fs::create_dir_all(&fresh).doing(format!("make {}", fresh.display()))?;
    compile(&database.url(), &fresh, say)?;

    let committed = place::repository().join(".sqlx");
    fs::create_dir_all(&committed).doing("make .sqlx")?;
    let (old, new) = (entries(&committed)?, entries(&fresh)?);
    let (mut written, mut removed) = (0, 0);
    for (name, text) in &new {
        if old.get(name) != Some(text) {
            fs::write(committed.join(name), text).doing(format!("write .sqlx/{name}"))?;
            written += 1;
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        fs::remove_file(committed.join(name)).doing(format!("remove .sqlx/{name}"))?;
        removed += 1;
    }
    Ok(format!(
        "{} prepared queries: {written} written, {removed} removed",
        new.len()
    ))
}

/// Holds the committed descriptions against the migrations and the source. A query without one does not
/// compile, so what is left to find is one that describes another schema, or a query that is gone.
pub async fn check(say: &dyn Fn(&str)) -> Result<String, Failure> {
    let committed = entries(&place::repository().join(".sqlx"))?;
    let server = Server::start(None, say).await?;
    let database = migrated(&server).await?;
    let mut connection = PgConnection::connect(&database.url())
        .await
        .doing("reach Postgres")?;
    let source = squeeze(&sources(&place::repository().join("shared/src"))?);
    let mut problems = Vec::new();
    for (name, text) in &committed {
        let entry: Value = serde_json::from_str(text).doing(format!("read .sqlx/{name}"))?;
        let query = entry.get("query").and_then(Value::as_str).unwrap_or_default();
        let begin: String = query
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .chars()
            .take(60)
            .collect();
        if !source.contains(&squeeze(query)) {
            problems.push(format!("{name} is of a query that is gone: {begin}"));
            continue;
        }
        match (&mut connection)
            .describe(AssertSqlSafe(query.to_owned()).into_sql_str())
            .await
        {
            Ok(described) => {
                let described = serde_json::to_value(described).doing("write a description")?;
                if entry.get("describe") != Some(&described) {
                    problems.push(format!("{name} describes another schema: {begin}"));
                }
            }
            Err(error) => problems.push(format!("{name} fails ({error}): {begin}")),
        }
    }
    let _ = connection.close().await;
    if problems.is_empty() {
        return Ok(format!(
            "{} prepared queries agree with the migrations",
            committed.len()
        ));
    }
    let list = problems.join("\n  ");
    Err(Failure::new(format!(
        "the prepared queries are stale, run `make prepare`:\n  {list}"
    )))
}

async fn migrated(server: &Server) -> Result<Database, Failure> {
    make_logins(server.url()).await?;
    let database = Database::empty(server.url()).await?;
    let migrations = Migrator::new(place::repository().join("migrations"))
        .await
        .doing("read migrations/")?;
    let mut connection = PgConnection::connect(&database.url())
        .await
        .doing("reach Postgres")?;
    migrations
        .run(&mut connection)
        .await
        .doing("apply the migrations")?;
    let _ = connection.close().await;
    Ok(database)
}

fn compile(url: &str, folder: &Path, say: &dyn Fn(&str)) -> Result<(), Failure> {
    let target = place::local("target-prepare")?;
    say("compiling shared against a migrated database (the first time takes minutes)");
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new("cargo");
        cargo
            .args(arguments)
            .args(["--quiet", "--package", "shared", "--target-dir"])
            .arg(&target);
        cargo.current_dir(place::repository()).stdin(Stdio::null());
        cargo
            .env("SQLX_OFFLINE", "false")
            .env("SQLX_OFFLINE_DIR", folder)
            .env("DATABASE_URL", url);
        cargo
    };
    // Cargo does not know that the macros also leave files: without this it would find nothing to do.
    let _ = cargo(&["clean"]).stderr(Stdio::null()).status();
    let status = cargo(&["check", "--lib"]).status().doing("run cargo")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(
        "shared does not compile against the migrated database: see above",
    ))
}

/// `query-….json` -> its text.
fn entries(folder: &Path) -> Result<BTreeMap<String, String>, Failure> {
    let mut entries = BTreeMap::new();
    let Ok(listing) = fs::read_dir(folder) else {
        return Ok(entries);
    };
    for entry in listing.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("query-") {
            let text = fs::read_to_string(entry.path()).doing(format!("read {name}"))?;
            entries.insert(name, text);
        }
    }
    Ok(entries)
}

fn sources(folder: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)
            .doing(format!("read {}", folder.display()))?
            .flatten()
        {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "rs" || extension == "sql")
            {
                text.push_str(&fs::read_to_string(&path).doing(format!("read {}", path.display()))?);
            }
        }
    }
    Ok(text)
}

/// Without what a literal may be broken by: blanks, quotes, escapes, concatenation.
fn squeeze(text: &str) -> String {
    text.replace("\\n", "")
        .chars()
        .filter(|c| !c.is_whitespace() && !matches!(c, '"' | '\\' | '+' | '#'))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_found_in_source_however_its_literal_is_written() {
        let query = "SELECT \"a\" AS \"b!\"\n  FROM t";
        for literal in [
            "r#\"SELECT \"a\" AS \"b!\"\n            FROM t\"#",
            "\"SELECT \\\"a\\\" AS \\\"b!\\\" \\\n     FROM t\"",
            "\"SELECT \\\"a\\\" AS \\\"b!\\\"\" + \" FROM t\"",
        ] {
            assert!(squeeze(literal).contains(&squeeze(query)), "{literal}");
        }
        assert!(!squeeze("SELECT a FROM u").contains(&squeeze(query)));
    }
}
