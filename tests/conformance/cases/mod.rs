//! What a client sees of Teleport 14.2.3, with its codes and words. The same cases run against the simulated Auth
//! (`tests/conformance`) and against the real one (`tests/teleport`), so that the simulation cannot drift.

pub(crate) mod client;
pub(crate) mod people;
pub(crate) mod plugin_data;
pub(crate) mod requests;
pub(crate) mod watch;

use client::{Auth, Pems, Wire};
use simulators::teleport::pb::types::{AccessRequestV3, RequestState};
use simulators::teleport::{Role, User};

pub(crate) const ALICE: &str = "alice@conformance.example";
pub(crate) const CAROL: &str = "carol@conformance.example";
pub(crate) const ADMIN: &str = "conformance-admin";
pub(crate) const PLUGIN: &str = "conformance-plugin";
const NOBODY: &str = "conformance-nobody";

pub(crate) const DBA: &str = "conformance-dba";
const EDITOR: &str = "conformance-editor";

/// The roles and users that the cases need.
pub(crate) fn cast() -> (Vec<Role>, Vec<User>) {
    let roles = vec![
        Role::new(DBA).logins(&["postgres", "root"]),
        Role::new(EDITOR).logins(&["editor"]),
        Role::new("conformance-forbidden"),
        Role::new("conformance-requester").may_request(&[DBA, EDITOR]),
        Role::new(PLUGIN)
            .allow("access_request", &["list", "read"])
            .allow("access_plugin_data", &["list", "read", "update"]),
        Role::new(ADMIN)
            .allow("access_request", &["create", "list", "read", "update", "delete"])
            .allow("role", &["list", "read"])
            .allow("user", &["list", "read"]),
        Role::new(NOBODY),
    ];
    let users = vec![
        User::new(ALICE, &["conformance-requester"]),
        User::new(CAROL, &["conformance-requester"]),
        User::new(PLUGIN, &[PLUGIN]),
        User::new(ADMIN, &[ADMIN]),
        User::new(NOBODY, &[NOBODY]),
    ];
    (roles, users)
}

/// A cluster with the [`cast`].
pub(crate) struct Teleport {
    pub(crate) name: String,
    pub(crate) address: String,
    /// Signs an identity of a user.
    pub(crate) sign: Box<dyn Fn(&str) -> Pems + Send + Sync>,
}

impl Teleport {
    async fn wire(&self, user: &str) -> Wire {
        client::wire(&self.address, &(self.sign)(user)).await
    }

    async fn auth(&self, user: &str) -> Auth {
        Auth::new(self.wire(user).await)
    }

    async fn alice(&self) -> Auth {
        self.auth(ALICE).await
    }

    async fn plugin(&self) -> Auth {
        self.auth(PLUGIN).await
    }

    async fn admin(&self) -> Auth {
        self.auth(ADMIN).await
    }

    /// A fresh request of Alice's for the role `conformance-dba`.
    async fn request(&self) -> String {
        let request = client::request(ALICE, &[DBA], "the index is gone");
        client::id_of(&self.alice().await.create_access_request_v2(request).await.unwrap().into_inner())
    }
}

fn state(request: &AccessRequestV3) -> RequestState {
    request.spec.as_ref().unwrap().state()
}

/// Hands the names of all cases to a macro that makes tests of them.
macro_rules! for_each_case {
    ($make:ident) => {
        $make! {
            requests::a_request_is_pending_with_what_the_server_filled_in;
            requests::a_request_that_is_not_allowed_is_refused;
            requests::a_request_that_makes_no_sense_is_refused;
            requests::a_wildcard_stands_for_every_role_that_may_be_requested;
            requests::a_request_for_resources_needs_roles_to_search_as;
            requests::a_request_expires_when_its_user_says;
            requests::everybody_sees_the_own_requests_and_the_plugin_sees_all;
            requests::there_is_no_paged_list;
            requests::an_approval_extends_the_request_to_the_end_of_the_access;
            requests::a_denial_may_be_repeated_but_not_taken_back;
            requests::deciding_needs_the_right_to_update;
            requests::a_decree_that_makes_no_sense_is_refused;
            requests::only_requested_roles_can_be_granted;
            requests::a_deleted_request_is_gone;
            requests::reviews_are_for_the_enterprise_edition;
            plugin_data::a_write_happens_only_if_every_expectation_holds;
            plugin_data::a_key_with_an_empty_value_is_deleted;
            plugin_data::plugins_share_a_record_but_not_their_entries;
            plugin_data::a_record_needs_its_request_only_to_begin;
            plugin_data::a_record_has_a_largest_size;
            plugin_data::only_certain_kinds_have_plugin_data;
            plugin_data::plugin_data_needs_its_own_right_or_that_of_the_kind;
            watch::the_first_event_names_the_kinds;
            watch::changes_arrive_in_order_and_a_deletion_by_name_alone;
            watch::kinds_that_may_not_be_read_are_left_out_if_the_watcher_agrees;
            watch::requests_can_be_watched_by_user_and_state;
            watch::nothing_to_watch_is_refused;
            people::ping_tells_name_and_version_to_anybody;
            people::roles_can_be_read_with_the_right_or_by_their_holders;
            people::all_roles_and_users_come_at_once_for_whoever_may_list_and_read_them;
            people::everybody_knows_who_they_are;
            people::resources_are_listed_by_kind;
            people::users_can_be_read_with_the_right_or_by_themselves;
            people::services_of_later_releases_are_unknown;
        }
    };
}
pub(crate) use for_each_case;
