// Finds and loads the handler by its name, by the rules of AWS's Node.js runtimes: "folder/file.name.nested".

function splitHandlerName(name) {
	if (name.includes('..')) {
		throw new Fault('Runtime.MalformedHandlerName',
			`'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
	}
	const slash = name.lastIndexOf('/') + 1;
	const dot = name.indexOf('.', slash);
	if (dot < 0 || dot === slash || dot === name.length - 1)
		throw new Fault('Runtime.MalformedHandlerName', `Bad handler '${name}': it is not of the form file.function`);
	return { folder: name.slice(0, slash), file: name.slice(slash, dot), names: name.slice(dot + 1).split('.') };
}

function isFile(name) {
	return fs.statSync(name, { throwIfNoEntry: false })?.isFile() ?? false;
}

// Does the nearest package.json say that .js files are ES modules?
function isModulePackage(folder, root) {
	for (;;) {
		try {
			return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
		} catch (e) {
			if (e.code !== 'ENOENT' && e.code !== 'ENOTDIR')
				return false;
		}
		if (folder === root || folder === path.dirname(folder))
			return false;
		folder = path.dirname(folder);
	}
}

async function loadModule(root, folder, file) {
	const base = path.resolve(root, folder, file);
	const load = Module.createRequire('/var/runtime/index.mjs');
	const imported = (name) => import(url.pathToFileURL(name).href);

	if (isFile(base))
		return load(base);
	if (isFile(base + '.js'))
		return isModulePackage(path.dirname(base), root) ? imported(base + '.js') : load(base + '.js');
	if (isFile(base + '.mjs'))
		return imported(base + '.mjs');
	if (isFile(base + '.cjs'))
		return load(base + '.cjs');
	// A package of this name, in node_modules of the function or of a layer; or the error that says what is missing.
	return load(load.resolve(folder + file, { paths: [root, path.resolve(root, folder)] }));
}

async function loadHandler(root, name) {
	const { folder, file, names } = splitHandlerName(name);
	let object;
	try {
		object = await loadModule(root, folder, file);
	} catch (e) {
		if (e instanceof SyntaxError)
			throw new Fault('Runtime.UserCodeSyntaxError', String(e), e);
		if (e?.code === 'MODULE_NOT_FOUND' || e?.code === 'ERR_MODULE_NOT_FOUND')
			throw new Fault('Runtime.ImportModuleError', String(e), e);
		throw e;
	}
	for (const key of names)
		object = object?.[key];
	if (object === undefined || object === null)
		throw new Fault('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
	if (typeof object !== 'function')
		throw new Fault('Runtime.HandlerNotFound', `${name} is not a function`);
	return object;
}
