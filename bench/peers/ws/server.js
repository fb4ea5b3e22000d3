// A room server as people write it with npm ws 8: a set of sockets per channel, one send each. usage: node server.js PORT
'use strict';
const { WebSocketServer } = require('ws');

const channels = new Map();
const join = (channel, ws) => {
  if (!channels.has(channel)) channels.set(channel, new Set());
  channels.get(channel).add(ws);
  ws.joined = channel;
  ws.send('ok');
};

const server = new WebSocketServer({ port: Number(process.argv[2]), host: '127.0.0.1', perMessageDeflate: false, backlog: 4096 });
server.on('connection', (ws) => {
  ws.on('error', () => {});
  ws.on('message', (data) => {
    const text = data.toString();
    if (text[0] === 'S') return join(text.slice(1), ws);
    const end = text.indexOf('\n');
    const members = channels.get(text.slice(1, end));
    if (!members) return;
    const payload = Buffer.from(text.slice(end + 1));
    for (const member of members) member.send(payload, { binary: false });
  });
  ws.on('close', () => channels.get(ws.joined)?.delete(ws));
});
