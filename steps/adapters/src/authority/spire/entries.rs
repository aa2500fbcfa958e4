//! Registration entries: which agents had the alias, giving it to the next one, moving what hangs below the last, and evicting that.

use super::super::failure::Failure;
use super::channel::code;
use super::wire::{
    CreateEntries, Entries, Entry, EntryFilter, EntryMask, ListEntries, Nothing, OfAgent, Results, Selector, SpiffeId,
    UpdateEntries, method,
};
use super::{PAGE, PAGES_MOST, Spire, serial_of};

const SPIFFE_ID: &str = "spiffe_id";

impl Spire {
    /// The agents that were given the alias, the last one last.
    pub(super) async fn named(&self) -> Result<Vec<SpiffeId>, Failure> {
        let mut aliases = self.of_alias().await?;
        aliases.sort_by_key(|entry| entry.created_at);
        Ok(aliases.iter().flat_map(agents_of).collect())
    }

    /// Gives the alias to the new agent, and moves what hangs below the old one to the alias. Says how many entries were moved.
    ///
    /// # Errors
    /// [`Failure`]: what is done already is not done again by the next call.
    pub(crate) async fn reparent(&self, old: &str, new: &str) -> Result<u32, Failure> {
        let Some(heir) = self.agent_of(new).await? else {
            return Err(unknown("the agent that was paired is not there"));
        };
        let named = self.named().await?;
        if !named.contains(&heir) {
            self.give_alias(&heir).await?;
        }
        let Some(last) = named.into_iter().find(|id| serial_of(&id.text()) == old) else { return Ok(0) };
        let orphans = self.below(&last).await?;
        let moved = u32::try_from(orphans.len()).unwrap_or(u32::MAX);
        for batch in orphans.chunks(100) {
            let parent_id = Some(self.alias.clone());
            let moved = batch.iter().map(|entry| Entry {
                id: entry.id.clone(),
                parent_id: parent_id.clone(),
                ..Entry::default()
            });
            let asked = UpdateEntries { entries: moved.collect(), input_mask: Some(EntryMask { parent_id: true }) };
            let results: Results = self.server.call(method::UPDATE, &asked).await?;
            all_done(&results, batch.len(), &[])?;
        }
        let left = self.below(&last).await?;
        if left.is_empty() {
            Ok(moved)
        } else {
            Err(Failure::Lost(format!("{} entries are where they were", left.len())))
        }
    }

    /// Evicts the old agent, now that the new one has its place. Done if it is not there.
    pub(crate) async fn evict(&self, old: &str, new: &str) -> Result<bool, Failure> {
        let named = self.named().await?;
        let is = |serial: &str| named.iter().find(|id| serial_of(&id.text()) == serial);
        if old == new || is(new).is_none() {
            return Err(unknown("the new agent does not have the alias, so the old one stays"));
        }
        let Some(last) = is(old) else { return Ok(false) };
        let orphans = self.below(last).await?.len();
        if orphans > 0 {
            return Err(unknown(&format!("{orphans} entries hang below the old agent, so it stays")));
        }
        match self.server.call::<_, Nothing>(method::EVICT, &OfAgent { id: Some(last.clone()) }).await {
            Ok(Nothing {}) => Ok(true),
            Err(Failure::Denied { status: code::NOT_FOUND, .. }) => Ok(false),
            Err(failure) => Err(failure),
        }
    }

    /// As SPIRE itself does where a token is made for a name: it goes with its agent.
    async fn give_alias(&self, heir: &SpiffeId) -> Result<(), Failure> {
        let entry = Entry {
            spiffe_id: Some(self.alias.clone()),
            parent_id: Some(heir.clone()),
            selectors: vec![Selector { kind: SPIFFE_ID.into(), value: heir.text() }],
            ..Entry::default()
        };
        let results: Results = self.server.call(method::CREATE, &CreateEntries { entries: vec![entry] }).await?;
        all_done(&results, 1, &[code::ALREADY_EXISTS])
    }

    async fn of_alias(&self) -> Result<Vec<Entry>, Failure> {
        let filter = EntryFilter { spiffe_id: Some(self.alias.clone()), parent_id: None };
        self.entries(filter, |entry| entry.spiffe_id.as_ref() == Some(&self.alias)).await
    }

    /// The entries that hang below an agent, without that which gives it the alias.
    async fn below(&self, id: &SpiffeId) -> Result<Vec<Entry>, Failure> {
        let filter = EntryFilter { spiffe_id: None, parent_id: Some(id.clone()) };
        self.entries(filter, |entry| {
            entry.parent_id.as_ref() == Some(id) && entry.spiffe_id.as_ref() != Some(&self.alias)
        })
        .await
    }

    /// Every page, or an error: half a list proves nothing. Whatever comes is looked through again.
    async fn entries(&self, filter: EntryFilter, wanted: impl Fn(&Entry) -> bool) -> Result<Vec<Entry>, Failure> {
        let (mut found, mut page_token) = (Vec::new(), String::new());
        for _ in 0..PAGES_MOST {
            let asked = ListEntries { filter: Some(filter.clone()), page_size: PAGE, page_token };
            let page: Entries = self.server.call(method::ENTRIES, &asked).await?;
            found.extend(page.entries.into_iter().filter(|entry| wanted(entry)));
            if page.next.is_empty() {
                return Ok(found);
            }
            page_token = page.next;
        }
        Err(Failure::Lost(format!("its list of entries does not end within {PAGES_MOST} pages")))
    }
}

/// The agents that an entry of a node alias selects.
fn agents_of(entry: &Entry) -> impl Iterator<Item = SpiffeId> {
    let by_id = entry.selectors.iter().filter(|selector| selector.kind == SPIFFE_ID);
    by_id.filter_map(|selector| SpiffeId::parse(&selector.value)).collect::<Vec<_>>().into_iter()
}

/// Whether each of a batch was done, or need not be.
fn all_done(results: &Results, asked: usize, also: &[u16]) -> Result<(), Failure> {
    if results.results.len() != asked {
        return Err(Failure::Lost(format!("{} of {asked} entries were answered for", results.results.len())));
    }
    for result in &results.results {
        let status = result.status.clone().unwrap_or_default();
        let code = u16::try_from(status.code).unwrap_or(u16::MAX);
        if code != 0 && !also.contains(&code) {
            return Err(Failure::Denied { status: code, code: None, hint: status.message });
        }
    }
    Ok(())
}

fn unknown(hint: &str) -> Failure {
    Failure::Denied { status: code::FAILED_PRECONDITION, code: None, hint: hint.to_owned() }
}
