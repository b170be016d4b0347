//! Where DigitalOcean lists something, and how it divides the list.
//!
//! Values only: kinds say with them where they are found, and walks (see `listing`) are made from them. It knows of
//! the five styles of paging that DigitalOcean's services have; what a walk proves is decided elsewhere.

use std::borrow::Cow;

/// Where a collection is listed.
#[derive(Clone, Debug)]
pub struct Collection {
    /// Path below the host, such as `/v2/droplets`.
    pub path: Cow<'static, str>,
    /// Fixed query parameters, such as `type=gpus`.
    pub query: &'static [(&'static str, &'static str)],
    /// The key that holds the list.
    pub root: &'static str,
    /// Whether the collection comes in pages.
    pub paging: Paging,
}

impl Collection {
    /// One in numbered pages.
    pub const fn numbered(path: &'static str, root: &'static str) -> Self {
        Self::asked(path, &[], root, Paging::Numbered)
    }

    /// One in numbered pages, asked for with these parameters.
    pub const fn chosen(
        path: &'static str,
        query: &'static [(&'static str, &'static str)],
        root: &'static str,
    ) -> Self {
        Self::asked(path, query, root, Paging::Numbered)
    }

    /// One that comes whole.
    pub const fn whole(path: &'static str, root: &'static str) -> Self {
        Self::asked(path, &[], root, Paging::Whole)
    }

    /// One in pages whose number only a total tells.
    pub const fn counted(path: &'static str, root: &'static str, total: &'static str) -> Self {
        Self::asked(path, &[], root, Paging::Counted { total })
    }

    const fn asked(
        path: &'static str,
        query: &'static [(&'static str, &'static str)],
        root: &'static str,
        paging: Paging,
    ) -> Self {
        Self {
            path: Cow::Borrowed(path),
            query,
            root,
            paging,
        }
    }
}

/// What one item of a collection is to the kind that is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// One of the kind, by its id.
    One(String),
    /// The same, with the hash of all that the item says.
    Read(String, i64),
    /// Something else, by an id that tells it apart.
    Beside(String),
    /// Something else, and the ids of those of the kind that it holds.
    Many(String, Vec<String>),
}

/// How a collection is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paging {
    /// `page` and `per_page`, with `links` and `meta.total`.
    Numbered,
    /// `page` and `per_page`, without links that could be relied on.
    Counted {
        /// Where the number of all items is; some services write it as text.
        total: &'static str,
    },
    /// One answer holds all of it, and there is nothing to count it against.
    Whole,
    /// `page` and `per_page`, one after the other for as long as there is a `next`; a total counts where there is one.
    Chained,
}
