//! What a page says about the walk that it is part of: how many pages there are, and whether it is one of them.
//!
//! While a walk goes on, before the items of a page are read. A contradiction is noted as a doubt, and the walk then proves
//! nothing; a page whose links cannot be read is an error, and asked for again. It reads no item and sends nothing.

use super::super::page::{Beside, loose_total, next_link, total};
use super::{Error, MAX_PAGES, Paging, Walk};

impl Walk<'_> {
    /// Everything about a page that can be checked without reading its items.
    pub(super) fn check(&mut self, page: u32, size: usize, fields: &Beside<'_>) -> Result<(), Error> {
        let next = next_link(fields)?;
        if self.collection.paging == Paging::Whole {
            if next.is_some() {
                self.doubt("a collection without pages has a next page");
            }
            return Ok(());
        }
        if self.collection.paging == Paging::Chained {
            self.chain(page, size, next.as_deref(), total(fields));
            return Ok(());
        }
        let found = match self.collection.paging {
            Paging::Counted { total } => loose_total(fields, total),
            Paging::Numbered | Paging::Whole | Paging::Chained => total(fields),
        };
        let Some(total) = found else {
            self.doubt(format!("page {page} has no meta.total"));
            return Ok(());
        };
        match self.total {
            None => self.total = Some(total),
            Some(before) if before != total => {
                self.doubt(format!(
                    "meta.total changed from {before} to {total} during the walk"
                ));
            }
            Some(_) => {}
        }
        if page == 1 && size > 0 && next.is_some() {
            self.per_page = (size as u64).min(self.per_page);
        }
        let per_page = self.per_page;
        let pages = total.div_ceil(per_page).max(1);
        if page == 1 {
            let last = u32::try_from(pages).unwrap_or(u32::MAX);
            if last > MAX_PAGES {
                self.doubt(format!("{total} items are more than {MAX_PAGES} pages"));
            } else {
                self.pages = Some(last);
                self.ids.reserve(usize::try_from(total).unwrap_or(0));
                self.queue.retain(|page| *page <= last);
                self.queue.extend(self.expected + 1..=last);
            }
        }
        let number = u64::from(page);
        let expected = if number < pages {
            per_page
        } else {
            total.saturating_sub(per_page * (pages - 1))
        };
        if size == 0 && expected > 0 {
            // A total that lies would send us through a thousand empty pages.
            self.queue.clear();
        }
        if size as u64 != expected {
            self.doubt(format!(
                "page {page} of {pages} holds {size} items instead of {expected}"
            ));
        }
        match next {
            _ if self.collection.paging != Paging::Numbered => {}
            None if number < pages => self.doubt(format!("page {page} of {pages} has no next page")),
            Some(_) if number >= pages => self.doubt(format!("page {page} of {pages} has a next page")),
            Some(next) if !self.leads_on(&next, page) => {
                self.doubt(format!(
                    "page {page}: its next page is not page {} of this host",
                    page + 1
                ));
            }
            _ => {}
        }
        Ok(())
    }

    /// A page of a chain: the next one is asked for once this one names it.
    fn chain(&mut self, page: u32, size: usize, next: Option<&str>, total: Option<u64>) {
        if let (Some(before), Some(total)) = (self.total, total)
            && before != total
        {
            self.doubt(format!(
                "meta.total changed from {before} to {total} during the walk"
            ));
        }
        self.total = self.total.or(total);
        let Some(next) = next else { return };
        if size == 0 {
            self.doubt(format!("page {page} is empty and has a next page"));
        } else if !self.leads_on(next, page) {
            self.doubt(format!(
                "page {page}: its next page is not page {} of this host",
                page + 1
            ));
        } else if page >= MAX_PAGES {
            self.doubt(format!("there are more than {MAX_PAGES} pages"));
        } else {
            self.queue.push_back(page + 1);
        }
    }

    /// Whether a `next` link is the page after this one on our host. A relative form is tolerated.
    fn leads_on(&self, next: &str, page: u32) -> bool {
        let Ok(url) = self.session.base.join(next) else {
            return false;
        };
        let numbers = url
            .query_pairs()
            .filter(|(name, _)| name == "page")
            .map(|(_, value)| value.into_owned());
        url.origin() == self.session.base.origin()
            && url.path() == self.collection.path
            && numbers.collect::<Vec<_>>() == [(page + 1).to_string()]
    }
}
