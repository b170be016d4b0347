//! The table of the plan on the real database, as workers run it.

use shared::sync::RunOutcome;
use simulator::Scenario;

use crate::stage::Stage;

#[tokio::test]
async fn a_first_sync_discovers_everything_and_a_second_writes_nothing() {
    let mut stage = Stage::with(Scenario::Default).await;
    let report = stage.sync().await;
    assert_eq!(report.outcome, RunOutcome::Complete, "{report:?}");
    let there = stage.sim.items("droplets").len();
    let rows = stage.rows("droplet").await;
    assert_eq!(rows.len(), there);
    assert_eq!(stage.event_count().await as usize, there);
    let before = stage.rows("droplet").await;
    let report = stage.later(1).sync().await;
    assert_eq!(report.kinds[0].outcome.events(), 0, "{report:?}");
    assert_eq!(stage.event_count().await as usize, there);
    assert_eq!(
        format!("{before:?}"),
        format!("{:?}", stage.rows("droplet").await),
        "an unchanged row was written"
    );
}
