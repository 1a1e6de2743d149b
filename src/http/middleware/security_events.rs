//! Counts and logs the security events that responses carry as an [`Incident`].

use axum::http::response::Parts;

use super::request_context::RequestContext;
use crate::app::App;
use crate::security::{Circumstances, Incident};

/// Counts and logs the security event of a response, if it carries one.
pub fn record(app: &App, context: &RequestContext, response: &Parts) {
    let Some(incident) = incident(context, response) else { return };
    let at = Circumstances {
        request_id: context.request_id(),
        audit_id: context.own_audit_id(),
        client_ip: context.client_ip(),
        route: context.route(),
    };
    if !incident.shadow {
        app.metrics.count_security(incident.event, incident.times);
    }
    app.security_log.write(incident, at);
}

/// Returns the incident of a response, with the caller as determined by the guard.
fn incident(context: &RequestContext, response: &Parts) -> Option<Incident> {
    let incident = response.extensions.get::<Incident>().copied();
    let Some(accounting) = context.accounting() else { return incident };
    let mut incident = incident.or_else(|| accounting.shadowed.then(Incident::shadow))?;
    incident.made_by(accounting.caller, accounting.key);
    Some(incident)
}
