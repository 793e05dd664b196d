//! Whether a click comes from our app, our workspace, and one of its members. Pure.
//!
//! In channels that are shared with other companies (Slack Connect) their people can click, too: Slack asserts who clicked, of which
//! workspace, and which app it tells. All three have to be ours.

/// Who we are to Slack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The app; none where Slack did not say.
    pub app_id: Option<String>,
    /// The workspace of the bot token.
    pub team_id: String,
    /// The organization of an Enterprise workspace.
    pub enterprise_id: Option<String>,
}

/// Where Slack says that an interaction comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The app that it is for.
    pub app_id: Option<String>,
    /// The workspace; none for an app that is installed in a whole organization.
    pub team_id: Option<String>,
    /// The organization.
    pub enterprise_id: Option<String>,
}

/// Who clicked, as Slack asserts it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clicker {
    /// Id of the user.
    pub user_id: String,
    /// The workspace that the user belongs to.
    pub team_id: Option<String>,
}

/// What an interaction's own words say about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A member of our workspace, or of our organization as a whole.
    Member,
    /// Of another workspace, perhaps of our organization: the user's profile tells.
    Unknown,
    /// Of another workspace.
    Stranger,
    /// The interaction comes from another workspace, or from none.
    ForeignTeam,
    /// The interaction is for another app, or for none.
    ForeignApp,
}

/// Compares an interaction with who we are.
pub fn standing(home: &Home, origin: &Origin, clicker: &Clicker) -> Standing {
    if let Some(ours) = &home.app_id
        && origin.app_id.as_ref() != Some(ours)
    {
        return Standing::ForeignApp;
    }
    let same_enterprise = home.enterprise_id.is_some() && origin.enterprise_id == home.enterprise_id;
    if origin.team_id.as_deref() != Some(&home.team_id) && !same_enterprise {
        return Standing::ForeignTeam;
    }
    match clicker.team_id.as_deref() {
        Some(team) if team == home.team_id || Some(team) == home.enterprise_id.as_deref() => Standing::Member,
        Some(_) if home.enterprise_id.is_none() => Standing::Stranger,
        _ => Standing::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Option<String> {
        (!text.is_empty()).then(|| text.to_owned())
    }

    fn judge(home: [&str; 3], origin: [&str; 3], team_of_user: &str) -> Standing {
        let [app, team, enterprise] = home;
        let home = Home { app_id: text(app), team_id: team.to_owned(), enterprise_id: text(enterprise) };
        let [app, team, enterprise] = origin;
        let origin = Origin { app_id: text(app), team_id: text(team), enterprise_id: text(enterprise) };
        standing(&home, &origin, &Clicker { user_id: "U1".to_owned(), team_id: text(team_of_user) })
    }

    #[test]
    fn app_workspace_and_person_have_to_be_ours() {
        let single = ["A1", "T1", ""];
        let grid = ["A1", "T1", "E1"];
        for (home, origin, user, expected) in [
            (single, ["A1", "T1", ""], "T1", Standing::Member),
            (single, ["A2", "T1", ""], "T1", Standing::ForeignApp),
            (single, ["", "T1", ""], "T1", Standing::ForeignApp),
            (single, ["A1", "T2", ""], "T1", Standing::ForeignTeam),
            (single, ["A1", "", ""], "T1", Standing::ForeignTeam),
            (single, ["A1", "", "E1"], "T1", Standing::ForeignTeam),
            (single, ["A1", "T1", ""], "T2", Standing::Stranger),
            (single, ["A1", "T1", ""], "", Standing::Unknown),
            (grid, ["A1", "", "E1"], "T1", Standing::Member),
            (grid, ["A1", "T2", "E1"], "T1", Standing::Member),
            (grid, ["A1", "T1", "E1"], "E1", Standing::Member),
            (grid, ["A1", "T1", "E1"], "T2", Standing::Unknown),
            (grid, ["A1", "T2", "E2"], "T1", Standing::ForeignTeam),
            (["", "T1", ""], ["A9", "T1", ""], "T1", Standing::Member),
        ] {
            assert_eq!(judge(home, origin, user), expected, "{home:?} {origin:?} {user}");
        }
    }
}
