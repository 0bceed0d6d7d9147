package v1alpha1

// Condition types. All have positive polarity but RolledBack, Paused, Reconciling
// and Stalled; the last two are never both True.
const (
	// ConditionReady: what spec asks for is live. Unknown while it rolls out.
	ConditionReady = "Ready"
	// ConditionAccepted: spec is one that the operator can act on.
	ConditionAccepted = "Accepted"
	// ConditionResolvedRefs: what spec refers to is there and can be used.
	ConditionResolvedRefs = "ResolvedRefs"
	// ConditionProgrammed: the objects exist and every ready pod runs the
	// wanted config and template.
	ConditionProgrammed = "Programmed"
	// ConditionAvailable: traffic is served.
	ConditionAvailable = "Available"
	// ConditionHealthy: the pods' numbers are within bounds.
	ConditionHealthy = "Healthy"
	// ConditionNoLossVerified: every pod has proved within the last minute that
	// it loses no event.
	ConditionNoLossVerified = "NoLossVerified"
	// ConditionPaused: a person wants the operator to observe and report only.
	ConditionPaused = "Paused"
	// ConditionReconciling: the operator is at work.
	ConditionReconciling = "Reconciling"
	// ConditionStalled: the operator cannot go on without a change.
	ConditionStalled = "Stalled"
	// ConditionRolledBack: spec asks for a revision that failed; the newest
	// one that proved healthy runs in its place.
	ConditionRolledBack = "RolledBack"
)

// Reasons of more than one condition.
const (
	// ReasonPending: not known yet.
	ReasonPending = "Pending"
	// ReasonRolledBack: see the condition RolledBack.
	ReasonRolledBack = "RolledBack"
	// ReasonStalled: see the condition Stalled.
	ReasonStalled = "Stalled"
	// ReasonPaused: see the condition Paused.
	ReasonPaused = "Paused"
	// ReasonNameCollision: an object of this name belongs to somebody else.
	ReasonNameCollision = "NameCollision"
	// ReasonQuotaExceeded: a ResourceQuota refused an object.
	ReasonQuotaExceeded = "QuotaExceeded"
	// ReasonForbidden: the operator lacks a right.
	ReasonForbidden = "Forbidden"
	// ReasonProgressDeadlineExceeded: no progress for five minutes.
	ReasonProgressDeadlineExceeded = "ProgressDeadlineExceeded"
)

// Reasons of Ready.
const (
	ReasonReady = "Ready"
	// ReasonPinned: as Ready, for the revision that spec.override pins.
	ReasonPinned          = "Pinned"
	ReasonNotAccepted     = "NotAccepted"
	ReasonRefsNotResolved = "RefsNotResolved"
	ReasonNotProgrammed   = "NotProgrammed"
	ReasonUnavailable     = "Unavailable"
	ReasonUnhealthy       = "Unhealthy"
	ReasonDeleting        = "Deleting"
	ReasonRollingOut      = "RollingOut"
)

// Reasons of Accepted.
const (
	ReasonAccepted = "Accepted"
	// ReasonInvalidPodTemplatePatch: spec.gateway.template.patch cannot be
	// merged, or takes away what the gateway needs.
	ReasonInvalidPodTemplatePatch = "InvalidPodTemplatePatch"
	// ReasonUnsupportedByEngine: pods pass over a setting that they are too old
	// for.
	ReasonUnsupportedByEngine = "UnsupportedByEngine"
	// ReasonReservedKey: spec.gateway.template sets a label or variable that is
	// the operator's own.
	ReasonReservedKey = "ReservedKey"
	// ReasonPinnedRevisionNotFound: spec.override pins a revision that nobody
	// knows.
	ReasonPinnedRevisionNotFound = "PinnedRevisionNotFound"
)

// Reasons of ResolvedRefs.
const (
	ReasonResolvedRefs = "ResolvedRefs"
	// ReasonSecretNotFound: a pod does not find a Secret.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonInvalidCertificate: a pod cannot use the certificate of a Secret.
	ReasonInvalidCertificate = "InvalidCertificate"
	// ReasonInvalidCredentials: a pod cannot use what a Secret holds.
	ReasonInvalidCredentials = "InvalidCredentials"
	// ReasonConfigMapNotFound: a ConfigMap, or its key, is not there.
	ReasonConfigMapNotFound = "ConfigMapNotFound"
	// ReasonParentNotFound: a Gateway that listener.route names is not there.
	ReasonParentNotFound = "ParentNotFound"
	// ReasonInvalidJWKS: a key set cannot be had, or be used.
	ReasonInvalidJWKS = "InvalidJWKS"
)

// Reasons of Programmed.
const (
	ReasonProgrammed = "Programmed"
	// ReasonAdmissionDenied: an admission plug-in refused an object.
	ReasonAdmissionDenied = "AdmissionDenied"
	// ReasonGatewayAPINotInstalled: listener.route asks for a kind that the
	// cluster does not know.
	ReasonGatewayAPINotInstalled = "GatewayAPINotInstalled"
	// ReasonRouteNotAccepted: a Gateway does not take the HTTPRoute.
	ReasonRouteNotAccepted = "RouteNotAccepted"
	// ReasonAddressNotAssigned: the load balancer has no address yet.
	ReasonAddressNotAssigned = "AddressNotAssigned"
	// ReasonConfigRejected: a pod refused the config and runs the one before.
	ReasonConfigRejected = "ConfigRejected"
	// ReasonConfigNotAcked: a ready pod has not answered for 10 s.
	ReasonConfigNotAcked = "ConfigNotAcked"
)

// Reasons of Available.
const (
	ReasonMinimumPodsReady = "MinimumPodsReady"
	ReasonNoPodsReady      = "NoPodsReady"
	ReasonBelowMinimum     = "BelowMinimum"
	ReasonImagePullFailed  = "ImagePullFailed"
	ReasonPodsCrashing     = "PodsCrashing"
	ReasonUnschedulable    = "Unschedulable"
	ReasonScaledToZero     = "ScaledToZero"
)

// Reasons of Healthy.
const (
	ReasonWithinThresholds = "WithinThresholds"
	// ReasonIdle: no event was published or delivered in the window.
	ReasonIdle           = "Idle"
	ReasonErrorRateHigh  = "ErrorRateHigh"
	ReasonDropRateHigh   = "DropRateHigh"
	ReasonLatencyHigh    = "LatencyHigh"
	ReasonQueueFull      = "QueueFull"
	ReasonReconnectStorm = "ReconnectStorm"
	// ReasonBrowserLatencyHigh: pages report late events.
	ReasonBrowserLatencyHigh = "BrowserLatencyHigh"
	// ReasonBrokerUnavailable: the log of a pod fails, and publishes are refused.
	ReasonBrokerUnavailable = "BrokerUnavailable"
	// ReasonBrokerStorageFull: the log has no room for events.
	ReasonBrokerStorageFull = "BrokerStorageFull"
	// ReasonReplayWindowShort: events had to leave the replay buffer before
	// replay.ttl for lack of room.
	ReasonReplayWindowShort = "ReplayWindowShort"
	// ReasonInsufficientTraffic: too few events to judge.
	ReasonInsufficientTraffic = "InsufficientTraffic"
	// ReasonMetricsStale: no pod has answered lately.
	ReasonMetricsStale = "MetricsStale"
)

// Reasons of NoLossVerified.
const (
	ReasonVerified = "Verified"
	// ReasonLossDetected: a pod lost an event without saying so, gave it twice
	// or out of order. A reason of Healthy, too.
	ReasonLossDetected = "LossDetected"
	// ReasonAuditStale: a pod has proved nothing for 60 s.
	ReasonAuditStale = "AuditStale"
)

// Reasons of Reconciling.
const (
	ReasonNewRevision = "NewRevision"
	// ReasonResolvingRefs: pods wait for something that spec refers to.
	ReasonResolvingRefs = "ResolvingRefs"
	ReasonPushing       = "Pushing"
	ReasonStepping      = "Stepping"
	ReasonPromoting     = "Promoting"
	ReasonScaling       = "Scaling"
	ReasonRetrying      = "Retrying"
	ReasonDraining      = "Draining"
	ReasonUpToDate      = "UpToDate"
)

// Reasons of Paused.
const (
	ReasonPausedBySpec = "PausedBySpec"
	ReasonActive       = "Active"
)

// Reasons of Stalled.
const (
	ReasonNotStalled  = "NotStalled"
	ReasonInvalidSpec = "InvalidSpec"
)

// ReasonNotRolledBack is the reason of RolledBack when it is False; when it is
// True, the reason is why the revision failed.
const ReasonNotRolledBack = "NotRolledBack"

// ReasonRollingBack is a reason of Reconciling: pods return to the stable
// revision.
const ReasonRollingBack = "RollingBack"

// ReasonManualRollbackRequired is a reason of Stalled: a revision is bad, and
// spec.rollback.mode is Manual.
const ReasonManualRollbackRequired = "ManualRollbackRequired"

// ReasonAnalysisInconclusive is a reason of Stalled, and of RolledBack: a step
// showed too little to judge by.
const ReasonAnalysisInconclusive = "AnalysisInconclusive"

// AnnotationRetry on a StreamGateway gives a failed revision another chance:
// its value is <revision>/<any word>, and each value counts once. One that
// waits because a step showed too little goes on to the next step.
const AnnotationRetry = Group + "/retry-revision"
