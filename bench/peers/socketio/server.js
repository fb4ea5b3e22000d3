// A room server as people write it with Socket.IO 4: WebSocket alone, no compression. usage: node server.js PORT
'use strict';
const { createServer } = require('node:http');
const { Server } = require('socket.io');

const http = createServer();
const io = new Server(http, { transports: ['websocket'], perMessageDeflate: false, serveClient: false });
io.on('connection', (socket) => {
  socket.on('subscribe', (channel) => {
    socket.join(channel);
    socket.emit('subscribed');
  });
  socket.on('publish', (channel, payload) => io.to(channel).emit('record', payload));
});
http.listen({ port: Number(process.argv[2]), host: '127.0.0.1', backlog: 4096 });
