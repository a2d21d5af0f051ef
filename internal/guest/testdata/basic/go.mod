module basic

go 1.25
