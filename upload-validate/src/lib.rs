//! Accept rules, safe names, active content and content sniffing for uploaded files.
