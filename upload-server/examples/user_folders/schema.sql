CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, password TEXT);
INSERT INTO users (name, password) VALUES ('alice', 'secret'), ('bob', 'secret');
CREATE TABLE documents (take_id TEXT PRIMARY KEY, user INTEGER, path TEXT);
