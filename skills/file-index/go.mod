module skill

go 1.22
