// An echo server on npm ws 8, to compare ours with. It prints its port and lives as long as its standard input.
// usage: node echo.js MAX_MESSAGE_BYTES
'use strict';
const { WebSocketServer } = require('ws');

const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false, maxPayload: Number(process.argv[2]) });
server.on('connection', (ws) => {
  ws.on('error', () => {}); // the peer gets its close frame
  ws.on('message', (data, binary) => ws.send(data, { binary }));
});
server.on('listening', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
