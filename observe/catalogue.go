package observe

// The labels, each with all its values. Lists that belong to other packages are repeated here, since this one imports
// none; tests compare them. A list only grows.
var (
	LabelTransport = NewLabel("transport", "ws", Other)
	LabelFormat    = NewLabel("format", "json", "msgpack", Other)
	LabelClass     = NewLabel("class", "logged", "latest", "fleeting")
	LabelTier      = NewLabel("tier", "memory", "sqlite", "redis", "postgres")
	// LabelCode holds the codes of the protocol.
	LabelCode = NewLabel("code",
		"unauthorized", "connect_timeout", "forbidden", "version", "too_many_connections", "revoked", "too_many_errors",
		"token_expired", "rate_limited", "slow", "no_sign_of_life", "state_lost", "overloaded", "drain",
		"bad_request", "bad_channel", "too_large", "not_subscribed", "limit", "id_reuse", "unknown", "unconfirmed",
		"unavailable", "storage_full", "unsupported", "no_service", "busy", "internal", "stopped", "failed", Other)
	// LabelEnd is how a connection ended: with a code of ours, by the client, by a rule of the transport, or broken.
	LabelEnd = NewLabel("reason",
		"client", "broken", "protocol", "shutdown", "panic",
		"unauthorized", "connect_timeout", "forbidden", "version", "too_many_connections", "revoked", "too_many_errors",
		"token_expired", "rate_limited", "slow", "no_sign_of_life", "state_lost", "overloaded", "drain", Other)
	// LabelRequest holds the types of requests.
	LabelRequest = NewLabel("type", "connect", "refresh", "subscribe", "unsubscribe", "publish", "command", "history",
		"presence", "leave", "ping", "pong", Other)
	// LabelRefusal is why a handshake was refused.
	LabelRefusal = NewLabel("reason", "malformed", "origin", "version", "shutdown", "address_rate", "address_open",
		"queue_full", "too_late", "strangers", "node_full", "tls", Other)
	// LabelGap holds the reasons for a gap.
	LabelGap = NewLabel("reason", "trimmed", "too_many", "slow", "epoch", "diverged", "ahead")
	// LabelResume is what became of a position a client came back with.
	LabelResume = NewLabel("outcome", "continued", "gap", "failed")
	// LabelDrop is why a record was not handed to somebody who was due it.
	LabelDrop = NewLabel("reason", "behind", "aside", "fanout_lag", "fanout_queue", "fanout_busy", "cpu", "heap")
	// LabelLimit names the limits.
	LabelLimit = NewLabel("limit", "requests", "bytes", "channels", "in_flight", "outbox", "body", "user_open", "address_open",
		"address_rate", "bad_tokens", "strangers", "publish")
	// LabelMap names the bounded maps of limits.
	LabelMap = NewLabel("map", "user_open", "address_open", "address_rate", "bad_tokens")
	// LabelRank is a place in a distribution that is looked at only now and then.
	LabelRank = NewLabel("rank", "p50", "p99", "max")
	// LabelPresence is what became of a user's presence in a channel.
	LabelPresence = NewLabel("event", "came", "left")
	// LabelCommand is what became of a command to a service.
	LabelCommand = NewLabel("outcome", "done", "refused", "question", "duplicate", "failed")
	// LabelMirror is what became of a record on its way into the mirror.
	LabelMirror = NewLabel("outcome", "written", "stale", "failed", "dropped")
	// LabelPart names the parts of the server that survive a panic.
	LabelPart = NewLabel("part", "connection", "http")
)

// Connections and handshakes.
var (
	Connections = &Metric{"carillon_connections", KindGauge,
		"Connections open now", []*Label{LabelTransport, LabelFormat}}
	ConnectionsOpened = &Metric{"carillon_connections_opened_total", KindCounter,
		"Connections whose handshake succeeded", []*Label{LabelTransport}}
	ConnectionsEnded = &Metric{"carillon_connections_ended_total", KindCounter,
		"Connections that ended, by how", []*Label{LabelEnd}}
	Strangers = &Metric{"carillon_connections_unauthenticated", KindGauge,
		"Connections open now that have not connected with a token yet", nil}
	HandshakesRefused = &Metric{"carillon_handshakes_refused_total", KindCounter,
		"Handshakes that were refused, by reason", []*Label{LabelRefusal}}
	HandshakesWaiting = &Metric{"carillon_handshakes_waiting", KindGauge,
		"Handshakes that wait for their turn", nil}
	HandshakeWait = &Metric{"carillon_handshake_wait_seconds", KindHistogram,
		"Time a handshake waited for its turn", nil}
	BytesIn = &Metric{"carillon_received_bytes_total", KindCounter,
		"Bytes of frames read from connections, what TLS adds not counted", []*Label{LabelTransport}}
	BytesOut = &Metric{"carillon_sent_bytes_total", KindCounter,
		"Bytes of frames written to connections, what TLS adds not counted", []*Label{LabelTransport}}
)

// Requests and records.
var (
	Requests = &Metric{"carillon_requests_total", KindCounter,
		"Requests of clients, by type", []*Label{LabelRequest}}
	Errors = &Metric{"carillon_errors_total", KindCounter,
		"Errors told to clients, by code; how connections end is told elsewhere", []*Label{LabelCode}}
	RecordsIn = &Metric{"carillon_records_in_total", KindCounter,
		"Records of publishers that were new and became true or, fleeting ones, went on their way; by class", []*Label{LabelClass}}
	RecordsOut = &Metric{"carillon_records_out_total", KindCounter,
		"Records handed to connections, once for each subscriber, by class", []*Label{LabelClass}}
	RecordsDropped = &Metric{"carillon_records_dropped_total", KindCounter,
		"Records not handed on: the subscriber was behind, too many came early, or the node was short of what the reason names",
		[]*Label{LabelClass, LabelDrop}}
	PublishWrite = &Metric{"carillon_publish_write_seconds", KindHistogram,
		"Time from reading a publish to the first write of its record to a subscriber of this node, of one publish in 64", nil}
	PublishAck = &Metric{"carillon_publish_ack_seconds", KindHistogram,
		"Time from reading a publish to queueing its final reply, by where the record is kept, of one publish in 64", []*Label{LabelTier}}
	Gaps = &Metric{"carillon_gaps_total", KindCounter,
		"Gaps told to subscribers, by reason", []*Label{LabelGap}}
	Resumes = &Metric{"carillon_resumes_total", KindCounter,
		"Subscribes that named a position, by outcome", []*Label{LabelResume}}
)

// Services.
var (
	ServiceCommands = &Metric{"carillon_service_commands_total", KindCounter,
		"Commands that services answered, timers and what they send each other among them, by outcome", []*Label{LabelCommand}}
	ServiceMachines = &Metric{"carillon_service_machines", KindGauge,
		"Machines of services in memory now", nil}
	ServiceLoads = &Metric{"carillon_service_loads_total", KindCounter,
		"Machines that were brought back from the store", nil}
	ServiceSnapshots = &Metric{"carillon_service_snapshots_total", KindCounter,
		"Snapshots of machines that were kept", nil}
	ServiceFailures = &Metric{"carillon_service_commit_failures_total", KindCounter,
		"Commits of services that failed, or whose outcome is unknown", nil}
	ServicePanics = &Metric{"carillon_service_panics_total", KindCounter,
		"Steps of services that panicked, came to what no outcome may be, or took too long", nil}
	ServiceStopped = &Metric{"carillon_service_stopped_channels", KindGauge,
		"Channels that are stopped now after their service failed in them", nil}
	ServiceTimers = &Metric{"carillon_service_timers_total", KindCounter,
		"Timers of machines whose time came", nil}
	ServiceSends = &Metric{"carillon_service_sends_total", KindCounter,
		"Commands between machines that got a final reply", nil}
	ServiceResends = &Metric{"carillon_service_resends_total", KindCounter,
		"Attempts to send a command between machines that got none", nil}
	ServiceWait = &Metric{"carillon_service_wait_seconds", KindHistogram,
		"Time from asking a command until its service takes a step for it, its id being looked up in between", nil}
	ServiceStep = &Metric{"carillon_service_step_seconds", KindHistogram,
		"Time of one step of a service", nil}
	ServiceStore = &Metric{"carillon_service_store_seconds", KindHistogram,
		"Time from a step until what it came to is true, the commit before it included", nil}
	ServiceDown = &Metric{"carillon_service_shards_down", KindGauge,
		"Shards of services that cannot reach their store now, and refuse commands", nil}
)

// Presence.
var (
	PresenceMembers = &Metric{"carillon_presence_members", KindGauge,
		"Users in channels whose presence is kept, each once a channel, and users who are connected", nil}
	PresenceEvents = &Metric{"carillon_presence_events_total", KindCounter,
		"Users who came into a channel or left it, connecting counted as one; coming back within the debounce is no event", []*Label{LabelPresence}}
	PresenceUpdates = &Metric{"carillon_presence_updates_total", KindCounter,
		"Values of presence that were written, at most one in an interval and channel", nil}
	PresenceCoalesced = &Metric{"carillon_presence_coalesced_total", KindCounter,
		"Changes of presence that were told in the update of another one, or undid each other", nil}
	PresenceDelayed = &Metric{"carillon_presence_delayed_total", KindCounter,
		"Updates of presence put off beyond a second, by what the node was short of", []*Label{LabelDrop}}
	PresenceInterval = &Metric{"carillon_presence_interval_seconds", KindGauge,
		"Least time between two updates of a channel's presence: 1, or 5 and 15 while all fleeting records are dropped", nil}
	PresenceRefused = &Metric{"carillon_presence_refused_total", KindCounter,
		"Users whose presence was not kept because there was no room for more", nil}
)

// Fan-out.
var (
	CursorLag = &Metric{"carillon_cursor_lag_records", KindGauge,
		"Records between a cursor and the head of its ring now, of up to 1,000 cursors, others at each scrape", []*Label{LabelRank}}
	Visits = &Metric{"carillon_fanout_visits_total", KindCounter,
		"Cursors that fan-out workers woke because they had something to say", nil}
	Resumed = &Metric{"carillon_fanout_resumes_total", KindCounter,
		"Connections whose writing fan-out workers went on with", nil}
	FanoutQueueLength = &Metric{"carillon_fanout_queue", KindGauge,
		"Stripes of cursors and connections that wait for a fan-out worker", nil}
	FanoutBusyTime = &Metric{"carillon_fanout_busy_seconds_total", KindCounter,
		"Time in which fan-out workers worked, all workers together", nil}
	Encoded = &Metric{"carillon_records_encoded_total", KindCounter,
		"Records encoded for fan-out, once for each format in use", nil}
	Rooms = &Metric{"carillon_rooms", KindGauge,
		"Channels with a ring in this node", nil}
	Cursors = &Metric{"carillon_cursors", KindGauge,
		"Subscriptions on this node", nil}
	RingBytes = &Metric{"carillon_ring_bytes", KindGauge,
		"Memory of rings and of what is encoded from them", nil}
	RingBudget = &Metric{"carillon_ring_budget_bytes", KindGauge,
		"The most that rings may take before they are cut", nil}
	RingCut = &Metric{"carillon_ring_records_cut_total", KindCounter,
		"Records cut from rings for want of memory", nil}
)

// Store.
var (
	CommitRecords = &Metric{"carillon_commit_records", KindHistogram,
		"Records that one commit made true; in memory of one time in 64", []*Label{LabelTier}}
	CommitTime = &Metric{"carillon_commit_seconds", KindHistogram,
		"Time that one commit took; in memory that of telling bus and publishers, of one time in 64", []*Label{LabelTier}}
	CommitFailures = &Metric{"carillon_commit_failures_total", KindCounter,
		"Commits that failed; what was in them was answered unconfirmed or refused", []*Label{LabelTier}}
	CommitQueue = &Metric{"carillon_commit_queue_records", KindGauge,
		"Records that wait for a commit", []*Label{LabelTier}}
)

// Other nodes.
var (
	BusWhole = &Metric{"carillon_bus_whole", KindGauge,
		"1 while everything that this node listens to reaches it from the other nodes, 0 while the line to them is lost", nil}
	BusTroubles = &Metric{"carillon_bus_troubles_total", KindCounter,
		"Times that records of other nodes may have been lost, after which all heads were compared", nil}
	BusReconnects = &Metric{"carillon_bus_reconnects_total", KindCounter,
		"Lines to Redis that were lost, or were not to be had", nil}
	BusCarried = &Metric{"carillon_bus_records_carried_total", KindCounter,
		"Records that this node handed to Redis for the other nodes; those that Redis itself announces are not among them", nil}
	BusReceived = &Metric{"carillon_bus_records_received_total", KindCounter,
		"Records that reached this node through Redis, its own among them", nil}
	BusDropped = &Metric{"carillon_bus_records_dropped_total", KindCounter,
		"Records that this node could not hand to Redis; all but fleeting ones are read from their journal instead, by class", []*Label{LabelClass}}
	BusSubscriptions = &Metric{"carillon_bus_subscriptions", KindGauge,
		"Channels that this node has Redis deliver", nil}
	Mirrored = &Metric{"carillon_mirror_records_total", KindCounter,
		"Latest records of services on their way to be copied into Redis, each attempt that failed counted, by outcome", []*Label{LabelMirror}}
	Peers = &Metric{"carillon_peers", KindGauge,
		"Other nodes with clients that were alive a moment ago", nil}
)

// Limits and health.
var (
	Limited = &Metric{"carillon_limited_total", KindCounter,
		"Times that a limit was met, by limit", []*Label{LabelLimit}}
	LimitKeys = &Metric{"carillon_limit_keys", KindGauge,
		"Users or addresses that a limit keeps count of now", []*Label{LabelMap}}
	LimitOverflows = &Metric{"carillon_limit_overflows_total", KindCounter,
		"Keys that a limit refused or forgot because its map was full", []*Label{LabelMap}}
	PressureLevel = &Metric{"carillon_pressure_level", KindGauge,
		"0 calm, 1 a part of the fleeting records is dropped, 2 all of them are", nil}
	PressureChanges = &Metric{"carillon_pressure_changes_total", KindCounter,
		"Changes of the pressure level", nil}
	Panics = &Metric{"carillon_panics_total", KindCounter,
		"Panics that ended one connection or request instead of the process", []*Label{LabelPart}}
	LogSuppressed = &Metric{"carillon_log_lines_suppressed_total", KindCounter,
		"Log lines that were counted instead of written, being too many of one kind", nil}
)

// Catalogue lists all metrics that a node has of its own, in the order of the documentation.
func Catalogue() []*Metric {
	return []*Metric{
		Connections, ConnectionsOpened, ConnectionsEnded, Strangers, HandshakesRefused, HandshakesWaiting, HandshakeWait,
		BytesIn, BytesOut,
		Requests, Errors, RecordsIn, RecordsOut, RecordsDropped, PublishWrite, PublishAck, Gaps, Resumes,
		ServiceCommands, ServiceMachines, ServiceLoads, ServiceSnapshots, ServiceFailures, ServicePanics, ServiceStopped,
		ServiceTimers, ServiceSends, ServiceResends, ServiceWait, ServiceStep, ServiceStore, ServiceDown,
		PresenceMembers, PresenceEvents, PresenceUpdates, PresenceCoalesced, PresenceDelayed, PresenceInterval, PresenceRefused,
		CursorLag, Visits, Resumed, FanoutQueueLength, FanoutBusyTime, Encoded, Rooms, Cursors, RingBytes, RingBudget, RingCut,
		CommitRecords, CommitTime, CommitFailures, CommitQueue,
		BusWhole, BusTroubles, BusReconnects, BusCarried, BusReceived, BusDropped, BusSubscriptions, Mirrored, Peers,
		Limited, LimitKeys, LimitOverflows, PressureLevel, PressureChanges, Panics, LogSuppressed,
	}
}
