//! Which workers there are: a Lambda each, with a lane (whose token it uses, how often it runs) and a job.
//!
//! A kind that DigitalOcean lists is in exactly one of them; a test holds the list against the catalogue,
//! the binaries and the template, which says when each runs. Nothing here does anything.

use futures_util::future::BoxFuture;

use super::{Failure, Order, Report, Upstream};
use crate::config::Purpose;
use crate::kinds::{
    self, Kind, app, dns_zone, droplet, droplet_backup, firewall, floating_ip, k8s_cluster, load_balancer,
    managed_db, snapshot, volume,
};

/// One worker: a Lambda, a lane, a job.
#[derive(Clone, Copy, Debug)]
pub struct Worker {
    /// Name of the binary, the Lambda, and the lease.
    pub name: &'static str,
    /// Whose token it uses.
    pub purpose: Purpose,
    /// What it does.
    pub job: Job,
    /// How it is done.
    pub work: Work,
}

/// How a job is done. Named by the worker and not looked up by its job, so that its program holds this one and no other.
#[derive(Clone, Copy, Debug)]
pub struct Work(pub(super) Doing);

type Doing = for<'u, 's> fn(
    &'u mut Upstream<'s>,
    &'static Worker,
    Order,
    &'u mut Report,
) -> BoxFuture<'u, Result<(), Failure>>;

/// What a worker does.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// Keeps these kinds up to date, each with its own listing and its own verdict.
    Kinds(&'static [&'static Kind]),
    /// Keeps projects, their members, and whose everything is.
    Projects,
    /// Keeps what is owed.
    Balance,
    /// Keeps which invoices there are.
    BillingHistory,
}

/// `sync-projects`.
pub static PROJECTS: Worker = of(
    "sync-projects",
    Purpose::SyncFull,
    Job::Projects,
    Work(super::projects),
);

/// `sync-balance`.
pub static BALANCE: Worker = of(
    "sync-balance",
    Purpose::Billing,
    Job::Balance,
    Work(super::balance),
);
/// `sync-billing-history`.
pub static BILLING_HISTORY: Worker = of(
    "sync-billing-history",
    Purpose::Billing,
    Job::BillingHistory,
    Work(super::billing_history),
);

/// `sync-droplets`.
pub static DROPLETS: Worker = of(
    "sync-droplets",
    Purpose::SyncFast,
    Job::Kinds(&[&droplet::DROPLET]),
    Work(super::kinds),
);

/// `sync-domains`.
pub static DOMAINS: Worker = full("sync-domains", &[&dns_zone::DNS_ZONE]);
/// `sync-volumes`.
pub static VOLUMES: Worker = full("sync-volumes", &[&volume::VOLUME]);
/// `sync-floating-ips`.
pub static FLOATING_IPS: Worker = full("sync-floating-ips", &[&floating_ip::FLOATING_IP]);
/// `sync-firewalls`.
pub static FIREWALLS: Worker = full("sync-firewalls", &[&firewall::FIREWALL]);
/// `sync-load-balancers`.
pub static LOAD_BALANCERS: Worker = full("sync-load-balancers", &[&load_balancer::LOAD_BALANCER]);
/// `sync-databases`.
pub static DATABASES: Worker = full("sync-databases", &[&managed_db::MANAGED_DB]);
/// `sync-kubernetes`.
pub static KUBERNETES: Worker = full("sync-kubernetes", &[&k8s_cluster::K8S_CLUSTER]);
/// `sync-apps`.
pub static APPS: Worker = full("sync-apps", &[&app::APP]);

/// `sync-snapshots`.
pub static SNAPSHOTS: Worker = slow("sync-snapshots", &[&snapshot::SNAPSHOT]);
/// `sync-backups`.
pub static BACKUPS: Worker = slow("sync-backups", &[&droplet_backup::DROPLET_BACKUP]);
/// `sync-long-tail`: everything that has no worker of its own.
pub static LONG_TAIL: Worker = slow("sync-long-tail", kinds::LONG_TAIL);

/// Every worker; a test holds it against the binaries and the template.
pub static WORKERS: &[&Worker] = &[
    &PROJECTS,
    &DROPLETS,
    &BALANCE,
    &BILLING_HISTORY,
    &DOMAINS,
    &VOLUMES,
    &FLOATING_IPS,
    &FIREWALLS,
    &LOAD_BALANCERS,
    &DATABASES,
    &KUBERNETES,
    &APPS,
    &SNAPSHOTS,
    &BACKUPS,
    &LONG_TAIL,
];

const fn of(name: &'static str, purpose: Purpose, job: Job, work: Work) -> Worker {
    Worker {
        name,
        purpose,
        job,
        work,
    }
}

/// Every quarter of an hour.
const fn full(name: &'static str, kinds: &'static [&'static Kind]) -> Worker {
    of(name, Purpose::SyncFull, Job::Kinds(kinds), Work(super::kinds))
}

/// Every hour.
const fn slow(name: &'static str, kinds: &'static [&'static Kind]) -> Worker {
    of(name, Purpose::SyncSlow, Job::Kinds(kinds), Work(super::kinds))
}
