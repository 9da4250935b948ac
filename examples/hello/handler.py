def lambda_handler(event, context):
    name = event.get("name", "world")
    print("greeting", name)
    return {"greeting": f"Hello, {name}!", "request": context.aws_request_id}
