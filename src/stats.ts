/**
 * What has happened, one counter for each reason to drop a packet and each event worth counting. A counter is a plain
 * property, so that counting costs an addition and a debugger shows them all.
 *
 * What a protocol has sent (`udpSent`, `tcpSegmentsSent` and the like) is what it has handed to the link. There it may
 * have to wait for its neighbour, or is dropped, which the link counts: `neighbourPacketsParked`, `neighbourPacketsDropped`,
 * `ipv4NoNextHop`.
 */
export class Stats {
  framesReceived = 0;
  framesSent = 0;
  /** A frame that could not be sent because the device's queue was full, and that nobody will send again. */
  framesDroppedDeviceFull = 0;
  /** A packet of ours that the MTU, which had become smaller meanwhile, no longer allowed. */
  packetsTooLarge = 0;

  /** A frame shorter than its header. */
  ethernetRunts = 0;
  /** A frame whose sender is a group of stations. */
  ethernetBadSource = 0;
  /** A frame for another station. */
  ethernetNotForUs = 0;
  /** A frame for a group of stations that we are not in. */
  ethernetMulticast = 0;
  /** A frame of another VLAN, or without a tag where one is needed. */
  ethernetWrongVlan = 0;

  arpMalformed = 0;
  /** A packet whose sender has an address that no other station can have. */
  arpBadSender = 0;
  /** A request about another host. */
  arpNotForUs = 0;
  arpRequestsReceived = 0;
  arpRepliesSent = 0;
  arpQuestionsSent = 0;
  arpAnswers = 0;
  /** A reply to no question of ours, or not to the last one. */
  arpUnsolicited = 0;
  /** A packet that names another hardware address for a neighbour that we know. */
  arpClaims = 0;
  /** Packets by which we probe and announce our addresses (RFC 5227). */
  arpProbesSent = 0;
  arpAnnouncementsSent = 0;
  /** Another station uses, or probes, an address of ours. */
  arpConflicts = 0;

  /** A packet that waited for its neighbour's hardware address. */
  neighbourPacketsParked = 0;
  /** One of these that was given up: for a later one, or because there was no answer. */
  neighbourPacketsDropped = 0;
  /** A neighbour that has not answered three questions. */
  neighboursUnreachable = 0;
  /** A neighbour that was forgotten to make room for another one. */
  neighboursEvicted = 0;

  ipv4Malformed = 0;
  ipv4BadChecksum = 0;
  ipv4NotForUs = 0;
  /** A source that no host can have: multicast, broadcast, loopback, unspecified (RFC 1122 3.2.1.3). */
  ipv4MartianSource = 0;
  ipv4FragmentsDropped = 0;
  ipv4UnknownProtocol = 0;
  /** A packet of ours that no neighbour of its interface leads to. */
  ipv4NoNextHop = 0;
  /** Not an IPv4 packet: another version, or an EtherType that is not handled. */
  unknownNetworkProtocol = 0;

  icmpMalformed = 0;
  icmpEchoRequests = 0;
  /** Handed to the link. */
  icmpEchoRequestsSent = 0;
  /** A reply for an ICMP socket of ours. */
  icmpEchoReplies = 0;
  /** A reply or an error that found its ICMP socket's queue full. */
  icmpQueueFull = 0;
  icmpErrorsReceived = 0;
  /** Handed to the link. */
  icmpErrorsSent = 0;
  icmpErrorsRateLimited = 0;
  icmpIgnored = 0;

  udpMalformed = 0;
  udpBadChecksum = 0;
  udpReceived = 0;
  /** Handed to the link. */
  udpSent = 0;
  udpNoPort = 0;
  /** A datagram that found its socket's queue full. */
  udpQueueFull = 0;
  /** An ICMP error about a datagram of ours. */
  udpErrors = 0;

  tcpMalformed = 0;
  tcpBadChecksum = 0;
  tcpSegmentsReceived = 0;
  /** Handed to the link. */
  tcpSegmentsSent = 0;
  tcpResetsSent = 0;
  tcpResetsReceived = 0;
  /** A segment for no connection and no listener. */
  tcpNoConnection = 0;
  /**
   * A SYN, or the ACK that would complete a handshake, that was dropped: the listener's accept queue was full, or there was no
   * room for another half-open connection and no cookie was to be sent. The peer sends it again.
   */
  tcpListenOverflow = 0;
  /** A connection that a listener did not want: by its `accept`, or beyond its `maxConnections`. */
  tcpConnectionsRefused = 0;
  /** A listener's `accept` that threw. */
  tcpAcceptFailed = 0;
  /** SYNs answered by a cookie, connections made of one, and ACKs that brought none of ours (RFC 4987 3.6). */
  tcpSynCookiesSent = 0;
  tcpSynCookiesAccepted = 0;
  tcpSynCookiesRejected = 0;
  /** A segment outside the receive window (RFC 9293 3.10.7.4, first). */
  tcpUnacceptable = 0;
  /** A segment that was sent before one that has arrived: PAWS (RFC 7323 5). */
  tcpFromThePast = 0;
  /** A segment without the timestamp that all of its connection have (RFC 7323 3.2). */
  tcpWithoutTimestamp = 0;
  /** A reset or SYN answered by a challenge ACK instead (RFC 5961). */
  tcpChallengeAcks = 0;
  /** One that the limit of the connection, or of the stack, did not allow. */
  tcpChallengeAcksRateLimited = 0;
  /** A reset that would have ended TIME-WAIT (RFC 1337). */
  tcpTimeWaitResetsIgnored = 0;
  tcpOutOfOrder = 0;
  /** A segment acknowledged at once that might have waited (RFC 9293 3.8.6.3). */
  tcpQuickAcks = 0;
  /** Connections ended because the peer did not take what was written, for too long or while memory was short. */
  tcpStalledDropped = 0;
  /** Connections whose text ahead of a gap was given up while memory was short: the peer sends it again. */
  tcpOutOfOrderDiscarded = 0;
  /** Text dropped because the buffer pool, or the list of ranges out of order, was full. */
  tcpNoBuffer = 0;
  tcpRetransmissions = 0;
  tcpTimeouts = 0;
  /** A packet that a router had marked instead of dropping it; an ACK that reduced the window for one (RFC 3168). */
  tcpCongestionExperienced = 0;
  tcpCongestionEchoes = 0;
  /** Losses found by SACK or duplicate ACKs: recoveries entered (RFC 5681 3.2). */
  /** A peer that did not answer three times (R1, RFC 9293 3.8.3): the next hop on the way there is asked for again. */
  tcpPathsDoubted = 0;
  tcpFastRetransmissions = 0;
  /** Timeouts and recoveries that were about nothing: undone (RFC 5682, RFC 4015). */
  tcpSpuriousRecoveries = 0;
  /** D-SACK blocks: the peer got something twice (RFC 2883). */
  tcpDuplicateReports = 0;
  /** Tail loss probes (RFC 8985 7). */
  tcpTailProbes = 0;
  /** Text sent again for which records were short: what was sent when is known less well. */
  tcpNoRecord = 0;
  /** A segment with URG: its text is delivered in line (RFC 6093 5). */
  tcpUrgentIgnored = 0;
  /** A router said that a segment was too large for the path, and was believed (RFC 1191). */
  tcpPathMtuDecreases = 0;
  /** A router's word about a segment that was not in flight, or not larger than it said (RFC 5927 7.2). */
  tcpPathMtuIgnored = 0;
  /** Any other ICMP error about a segment that was not in flight (RFC 5927 4.1). */
  tcpErrorsIgnored = 0;
  /** Full-sized segments were sent again three times in vain, and became smaller (RFC 4821 7.7). */
  tcpBlackHoles = 0;
  /** Larger segments sent to find out whether they get through, and those that did (RFC 4821 7). */
  tcpMtuProbes = 0;
  tcpMtuProbesArrived = 0;
  tcpWindowProbes = 0;
  tcpKeepAlives = 0;
  /** Text that a cork held back for 200 ms. */
  tcpCorkTimeouts = 0;
  tcpActiveOpens = 0;
  tcpPassiveOpens = 0;
  /** A buffer that was made larger, as the path turned out to carry more. */
  tcpReceiveBufferGrown = 0;
  tcpSendBufferGrown = 0;
  /** A connection that the program had closed, reset because there were more than `maxOrphans`. */
  tcpOrphansReset = 0;
  /** One that was given up after `orphanTimeoutMs` without an ACK, or `finWait2Ms` without a FIN. */
  tcpOrphansTimedOut = 0;
  /** TIME-WAIT cut short because every socket number was in use, or there were more than `maxTimeWait`. */
  tcpTimeWaitRecycled = 0;
  /** Idle connections of which only what they will need again was kept, and that were made whole again for a segment or a call. */
  tcpLaidToRest = 0;
  tcpWoken = 0;
}
