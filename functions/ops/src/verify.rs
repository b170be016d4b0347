//! `ops verify`: the rules of the mirror's history, one line each, with the first offender of those that are broken.
//!
//! Reads one moment of the database and changes nothing, so it may run beside the workers.

use shared::database;
use shared::inventory;
use shared::secrets::Secrets;

use crate::{End, Trouble, database_config, said};

pub(crate) async fn run() -> Result<End, Trouble> {
    let options = database::options(&database_config()?, &Secrets::default()).await;
    let pool = database::pool(options.map_err(said)?);
    database::check_schema(&pool).await.map_err(said)?;
    let found = inventory::verify(&pool).await.map_err(said)?;
    println!(
        "{} resources, {} projects, {} events",
        found.resources, found.projects, found.events
    );
    for judged in &found.rules {
        match &judged.breach {
            None => println!("holds   {}", judged.rule),
            Some(breach) => println!(
                "BROKEN  {}\n        {}: {}",
                judged.rule, breach.subject, breach.what
            ),
        }
    }
    Ok(if found.holds() { End::Well } else { End::Badly })
}
