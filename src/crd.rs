//! The `SlackAccessPlugin` custom resource: types and rules only.
