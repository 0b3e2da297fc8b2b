"""To and from other libraries: each bridge one file, importing its library when it is used."""
