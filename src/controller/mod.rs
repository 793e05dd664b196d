//! The controller: reconciles `SlackAccessPlugin` objects into workloads.
