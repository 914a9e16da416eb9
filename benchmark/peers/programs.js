// @ts-check
/** How Varnish and nginx are started: as caches that have one request fetch what many ask for. */
import { join } from 'node:path'

/** Where programs are: Debian has these in folders that only root looks in. */
export const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin` }

/**
 * @typedef {object} Place
 * @property {string} folder of its own
 * @property {number} port
 * @property {number} origin the port of what is behind it
 */

/** @typedef {{ program: string, args: string[], configuration: string }} Program the configuration is in the file of that name in the folder */

/** @type {(place: Place) => Program} */
export function nginx ({ folder, port, origin }) {
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(name => `${name}_temp_path ${join(folder, name)};`).join('\n  ')
  return {
    program: 'nginx',
    args: ['-p', folder, '-e', join(folder, 'errors'), '-c', join(folder, 'configuration')],
    configuration: `
daemon off;
master_process off;
pid ${join(folder, 'pid')};
worker_rlimit_nofile 20000;
events { worker_connections 16384; multi_accept on; }
http {
  access_log off;
  ${paths}
  default_type application/json;
  sendfile on;
  tcp_nodelay on;
  open_file_cache max=1000 inactive=1h;
  open_file_cache_valid 1h;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  proxy_cache_path ${join(folder, 'cache')} keys_zone=cache:64m;
  upstream origin { server 127.0.0.1:${origin}; keepalive 16; }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache cache;
      proxy_cache_valid 200 1h;
      proxy_cache_lock on;
      proxy_cache_lock_age 60s;
      proxy_cache_lock_timeout 60s;
    }
  }
}
`
  }
}

/** @type {(place: Place) => Program} */
export function varnishd ({ folder, port, origin }) {
  return {
    program: 'varnishd',
    args: [
      '-F', '-n', join(folder, 'work'), '-a', `127.0.0.1:${port}`, '-f', join(folder, 'configuration'), '-s', 'malloc,256m',
      '-p', 'timeout_idle=3600', '-p', 'listen_depth=4096'
    ],
    configuration: `
vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "${origin}"; }
sub vcl_recv { return (hash); }
sub vcl_backend_response { set beresp.ttl = 1h; return (deliver); }
`
  }
}
