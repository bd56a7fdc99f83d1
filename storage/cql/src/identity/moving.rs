//! People taken out as they lie there, and put in.
//!
//! A row that is put in draws its `change` from the person's id: put in again it is found to be the same.

use async_trait::async_trait;
use domain::ids::UserId;
use storage::Error;
use storage::identity::Role;
use storage::moving::{MovePeople, MovedLogin, MovedPerson, MovedStanding, MovedUser, PAGE_MAX};
use uuid::Uuid;

use super::login::Row as LoginRow;
use super::person::{Row, Stage, quickpe_number};
use super::{CqlIdentity, People};
use crate::applied::Applied;
use crate::statements::Named;

#[async_trait]
impl MovePeople for CqlIdentity {
    async fn everybody(&self, after: Option<UserId>, max: usize) -> Result<Vec<UserId>, Error> {
        let cql = &self.people.cql;
        // In the order of the store's own tokens: the one order in which a whole table is read in pages.
        let from = after.map_or_else(String::new, |after| format!(" WHERE token(user_id) > token({})", after.0));
        let text = format!("SELECT user_id FROM {}.people{from} LIMIT {}", cql.keyspace(), max.min(PAGE_MAX));
        let rows = cql.connection().ask::<(Uuid,)>(text, false, None).await?;
        Ok(rows.into_iter().map(|(user,)| UserId(user)).collect())
    }

    async fn take_person(&self, user: UserId) -> Result<Option<MovedPerson>, Error> {
        self.people.take_out(user).await
    }

    async fn put_person(&self, person: MovedPerson) -> Result<(), Error> {
        self.write(move |people| async move { people.put_in(person).await }).await
    }
}

impl People {
    async fn take_out(&self, id: UserId) -> Result<Option<MovedPerson>, Error> {
        let Some(row) = self.settled_row(id).await? else { return Ok(None) };
        let quickpe_id = row.quickpe_id;
        if !row.is_live() {
            let at = row.stage_at.unwrap_or(row.created_at);
            return Ok(Some(MovedPerson { id, quickpe_id, standing: MovedStanding::Erased { at } }));
        }
        let user = row.user(id)?;
        let logins = self.rows_of(id).await?.into_iter().map(|login| MovedLogin {
            id: login.id,
            device: login.device,
            created_at: login.created_at,
            used_at: login.used_at,
            expires_at: login.expires_at,
            generation: login.generation,
            rotated_by: login.rotated_by,
        });
        let moved = MovedUser {
            email: user.email.as_str().to_owned(),
            first_name: user.first_name.as_str().to_owned(),
            last_name: user.last_name.as_str().to_owned(),
            role: user.role.number(),
            region: user.region,
            created_at: user.created_at,
            version: user.version,
            erasing_since: (row.stage == Stage::Erasing).then(|| row.stage_at.unwrap_or(row.created_at)),
            password: row.password_hash.zip(row.password_at),
            key: row.key,
            logins: logins.collect(),
        };
        Ok(Some(MovedPerson { id, quickpe_id, standing: MovedStanding::Live(Box::new(moved)) }))
    }

    async fn put_in(&self, person: MovedPerson) -> Result<(), Error> {
        let (id, quickpe_id) = (person.id, person.quickpe_id);
        let number = quickpe_number(quickpe_id)?;
        let settled = self.cql.transaction(Named::QuickpeIdTake, number, (number, id.0)).await?;
        if let Applied::No(there) = settled.applied
            && there.uuid("user_id") != Some(id.0)
        {
            return Err(Error::Unknown(format!("{id} has the QuickPe id of somebody else")));
        }
        match person.standing {
            MovedStanding::Live(moved) => self.put_live(id, quickpe_id, *moved).await,
            MovedStanding::Erased { at } => {
                let row = Row {
                    quickpe_id,
                    email: None,
                    first_name: None,
                    last_name: None,
                    role: Role::User,
                    region: None,
                    created_at: at,
                    version: 1,
                    stage: Stage::Erased,
                    stage_at: Some(at),
                    password_hash: None,
                    password_at: None,
                    key: None,
                    change: id.0,
                };
                self.put_row(id, row).await
            }
        }
    }

    async fn put_live(&self, id: UserId, quickpe_id: domain::ids::QuickpeId, moved: MovedUser) -> Result<(), Error> {
        if !self.take_email(&moved.email, id).await? {
            return Err(Error::Unknown(format!("{id} has the e-mail of somebody else")));
        }
        let role = Role::from_number(moved.role);
        let row = Row {
            quickpe_id,
            email: Some(moved.email),
            first_name: Some(moved.first_name),
            last_name: Some(moved.last_name),
            role: role.ok_or_else(|| Error::Unknown(format!("the role of {id} is not known to this build")))?,
            region: moved.region,
            created_at: moved.created_at,
            version: moved.version,
            stage: if moved.erasing_since.is_some() { Stage::Erasing } else { Stage::Active },
            stage_at: moved.erasing_since,
            password_at: moved.password.as_ref().map(|(_, at)| *at),
            password_hash: moved.password.map(|(hash, _)| hash),
            key: moved.key,
            change: id.0,
        };
        self.index_names(id, &row).await?;
        if row.stage == Stage::Erasing {
            self.list_erasure(id).await?;
        }
        self.put_row(id, row).await?;
        for login in moved.logins {
            self.put_login(id, login).await?;
        }
        Ok(())
    }

    /// Writes a row; since when somebody is being erased is not among what a new row has, so it is added.
    async fn put_row(&self, id: UserId, row: Row) -> Result<(), Error> {
        let stage_at = row.stage_at;
        if !self.insert(id, &row).await? {
            // Put in before, and what was to be added perhaps too.
            let there = self.settled_row(id).await?;
            if there.is_none_or(|there| there.quickpe_id != row.quickpe_id) {
                return Err(Error::Unknown(format!("somebody else has the id {id}")));
            }
        }
        if stage_at.is_some() {
            self.change(id, |there| {
                let lacks = there.stage_at != stage_at;
                there.stage_at = stage_at;
                lacks
            })
            .await?;
        }
        Ok(())
    }

    async fn put_login(&self, user: UserId, login: MovedLogin) -> Result<(), Error> {
        let row = LoginRow {
            id: login.id,
            device: login.device,
            created_at: login.created_at,
            used_at: login.used_at,
            expires_at: login.expires_at,
            generation: login.generation,
            rotated_by: login.rotated_by,
            change: login.id.0,
        };
        self.insert_login(user, &row).await
    }
}
