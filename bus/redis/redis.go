// Package redis is the bus of many nodes over one Redis: alone, under Sentinels or a Cluster. Feed carries records through
// subjects, one subscription for each channel that somebody here listens to; Roster knows who is in which channel on all
// nodes; Desk takes commands to the owner of their channel. What Redis says is checked, not trusted; nothing here is the
// truth, and all of it may be lost: then nodes put down anew what they know. No call waits for Redis longer than the
// bounds of package backbone. Start with NewFeed, NewRoster or NewDesk.
package redis
