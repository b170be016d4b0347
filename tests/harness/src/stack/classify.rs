//! The operator's part: which project of the simulated account is whose.
//!
//! Runs once, after the first syncs and before anything is said to be ready, so that the ready-made tenants'
//! tokens see their own resources. It goes through the mirror's own door, as a worker's login, so every move is
//! an event. It does nothing to a real account: whose its projects are is not for us to say.

use shared::config::Environment;
use shared::database;
use shared::inventory::{Actor, Classification, classify_project};
use shared::secrets::Secrets;

use super::Stack;
use crate::failure::{Doing, Failure};

/// Gives the scenario's projects to their tenants, and the internal one to ourselves.
pub(super) async fn classify(stack: &Stack) -> Result<(), Failure> {
    if stack.upstream.is_live() {
        return Ok(());
    }
    let config = Environment::of([("DATABASE_URL", stack.database_url.as_str())]).migrate();
    let options = database::options(&config.doing("classify projects")?, &Secrets::default()).await;
    let pool = database::pool(options.doing("classify projects")?);
    let now = database::now(&pool).await.doing("classify projects")?;
    let tenants = simulator::scenario::TENANTS
        .iter()
        .map(|(project, tenant)| (*project, "tenant", Some(*tenant)));
    for (project, purpose, tenant) in
        tenants.chain([(simulator::scenario::INTERNAL_PROJECT, "internal", None)])
    {
        let id = sqlx::query_scalar("SELECT id FROM cloud_projects WHERE name = $1").bind(project);
        let id = id
            .fetch_one(&pool)
            .await
            .doing(format!("find the project {project}"))?;
        let said = Classification {
            purpose: purpose.to_owned(),
            tenant_id: tenant.map(str::to_owned),
        };
        let actor = Actor {
            name: "local-operator",
            lease: None,
        };
        let reason = "the local stack's scenario";
        classify_project(&pool, actor, id, &said, reason, now)
            .await
            .doing(format!("classify {project}"))?;
    }
    pool.close().await;
    Ok(())
}
